"""The memory carrier, and followers behind a faulty one: for every seed they end with the truth."""

from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.replication.carrier import Position
from hs_common.replication.carrier_memory import Faults, MemoryCarrier
from hs_common.replication.follower import Follower
from hs_common.replication.names import QUEUE_BYTES, QUEUE_ENTRIES
from tests.common.replication.log import MemoryOutbox, Recorder, names_of

SEEDS = 60


def make_follower(clock: Clock, outbox: MemoryOutbox, carrier: MemoryCarrier, seed: int) -> tuple[Follower, Recorder]:
    recorder = Recorder(outbox)
    follower = Follower(clock, Random(seed), outbox, [recorder.subscription()], lambda error: None)
    Deferred.fromCoroutine(follower.start(carrier))
    return follower, recorder


def turn(clock: Clock, seconds: float) -> None:
    for _ in range(round(seconds / 0.05)):
        clock.advance(0.05)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_followers_end_with_the_truth(seed: int) -> None:
    random = Random(seed)
    clock = Clock()
    outbox = MemoryOutbox(clock, read_seconds=0.01)
    carrier = MemoryCarrier(clock, outbox.beat, Faults(random))
    followers = [make_follower(clock, outbox, carrier, number) for number in range(3)]
    turn(clock, 0.2)
    for step in range(80):
        chance = random.random()
        if chance < 0.04:
            outbox.lose_tail(random.randrange(1, 5))
        elif chance < 0.08:
            outbox.take_over()
        elif chance < 0.12:
            outbox.away = not outbox.away
        else:
            for _ in range(random.randrange(4)):
                carrier.publish(outbox.commit(f"{step}"))
        clock.advance(random.choice([0, 0.003, 0.02, 0.4]))
    outbox.away = False
    turn(clock, 5)  # nobody writes any more
    for follower, recorder in followers:
        assert follower.position.pos == outbox.beat().head
        assert recorder.names == names_of(outbox.rows)
        assert follower.lag_seconds() == 0


def test_delivers_in_its_own_turn() -> None:
    clock = Clock()
    outbox = MemoryOutbox()
    carrier = MemoryCarrier(clock, outbox.beat)
    follower, _ = make_follower(clock, outbox, carrier, 0)
    carrier.publish(outbox.commit("a"))
    assert follower.position.pos == 0
    clock.advance(0)
    assert follower.position == Position(1, 1)
    assert follower.counts.repairs == 0


@pytest.mark.parametrize(("count", "size"), [(QUEUE_ENTRIES + 1, 1), (9, QUEUE_BYTES // 8)])
def test_overflow_becomes_a_hole(count: int, size: int) -> None:
    clock = Clock()
    outbox = MemoryOutbox()
    carrier = MemoryCarrier(clock, outbox.beat)
    follower, recorder = make_follower(clock, outbox, carrier, 0)
    for _ in range(count):
        carrier.publish(outbox.commit("x" * size))
    clock.advance(0)
    assert carrier.overflows >= 1
    assert follower.counts.repairs > 0
    assert recorder.names == names_of(outbox.rows)


def test_ephemeral_messages_arrive_in_order() -> None:
    clock = Clock()
    carrier = MemoryCarrier(clock, lambda: None)
    seen: list[tuple[int, bytes]] = []
    carrier.listen(lambda counter, body: seen.append((counter, body)))
    carrier.publish_ephemeral(1, b"a")
    carrier.publish_ephemeral(2, b"b")
    assert seen == []
    clock.advance(0)
    assert seen == [(1, b"a"), (2, b"b")]


def test_nothing_is_left_after_the_end() -> None:
    clock = Clock()
    outbox = MemoryOutbox()
    carrier = MemoryCarrier(clock, outbox.beat)
    follower, _ = make_follower(clock, outbox, carrier, 0)
    carrier.publish(outbox.commit("a"))
    Deferred.fromCoroutine(follower.stop())
    assert clock.getDelayedCalls() == []
