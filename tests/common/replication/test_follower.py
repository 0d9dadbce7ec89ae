"""The follower's driver on a clock that tests turn: repair, silence, restart, waits."""

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.replication import follower as module
from hs_common.replication.carrier import Beat, Position
from hs_common.replication.entry import Entry, EntryItem, UnknownFormat
from hs_common.replication.follower import Follower
from hs_common.replication.names import FORMAT
from hs_common.replication.subscription import Subscription
from tests.common.replication.log import MemoryOutbox, Recorder, StillCarrier, names_of, outcome


class World:
    """A follower on a clock, with its outbox."""

    def __init__(self, *subscriptions: Subscription, carrier: bool = True) -> None:
        self.clock = Clock()
        self.outbox = MemoryOutbox(self.clock)
        self.recorder = Recorder(self.outbox)
        self.fatal: list[UnknownFormat] = []
        self.advanced: list[int] = []
        self.carrier = StillCarrier() if carrier else None
        self.follower = Follower(
            self.clock,
            Random(1),
            self.outbox,
            [*subscriptions, self.recorder.subscription()],
            self.fatal.append,
            self.advanced.append,
        )

    def start(self) -> "World":
        Deferred.fromCoroutine(self.follower.start(self.carrier))
        self.turn(0.1)
        self.follower.receive([], self.outbox.beat())
        return self

    def turn(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / 0.01))):
            self.clock.advance(0.01)

    def wait_for(self, pos: int, timeout: float = 1.0) -> list[object]:
        return outcome(Deferred.fromCoroutine(self.follower.wait_for(pos, timeout)))

    def is_at_head(self) -> bool:
        return self.follower.position.pos == self.outbox.rows[-1].pos and self.recorder.names == names_of(
            self.outbox.rows
        )


def test_starts_at_the_head_and_applies_what_joins() -> None:
    world = World()
    world.outbox.commit("a")
    world.start()
    assert world.carrier is not None
    assert world.carrier.after == Position(1, 1)
    reads = world.outbox.reads
    world.follower.receive([world.outbox.commit("b", "c"), world.outbox.commit("d")], None)
    assert world.is_at_head()
    assert (world.recorder.names, world.recorder.resets) == (["a", "b", "c", "d"], 1)
    assert world.advanced[-1] == 4
    assert world.outbox.reads == reads
    assert world.follower.lag_seconds() == 0


def test_waits_until_the_outbox_can_be_read() -> None:
    world = World()
    world.outbox.commit("a")
    world.outbox.away = True
    world.start()
    assert not world.follower.is_live
    assert world.follower.counts.outbox_failures > 0
    world.outbox.away = False
    world.turn(1.5)
    assert world.follower.is_live
    assert world.is_at_head()


def test_repeats_are_ignored() -> None:
    world = World().start()
    entry = world.outbox.commit("a")
    world.follower.receive([entry, entry], None)
    world.follower.receive([entry], None)
    assert world.recorder.names == ["a"]


def test_a_hole_is_read_in_the_outbox() -> None:
    world = World().start()
    world.outbox.commit("a")
    world.follower.receive([world.outbox.commit("b")], None)
    assert world.recorder.names == []
    assert world.follower.counts.repairs == 1
    world.turn(0.05)
    assert world.is_at_head()
    assert world.recorder.resets == 1


def test_a_stub_and_a_broken_body_are_read_in_the_outbox() -> None:
    world = World().start()
    for body in (None, b"\xc1"):
        entry = world.outbox.commit("large")
        world.follower.receive([Entry(entry.epoch, entry.pos, entry.prev, entry.format, body)], None)
        world.turn(0.05)
        assert world.is_at_head()


def test_entries_that_arrive_during_a_repair_are_not_lost() -> None:
    world = World().start()
    world.outbox.commit("a")
    world.follower.receive([world.outbox.commit("b")], None)  # the read is under way
    world.follower.receive([world.outbox.commit("c")], None)
    world.turn(0.05)
    assert world.is_at_head()


def test_a_beat_shows_a_lost_tail() -> None:
    world = World().start()
    world.outbox.commit("a")
    world.follower.receive([], world.outbox.beat())
    world.turn(0.05)
    assert world.is_at_head()


def test_a_beat_of_the_past_is_no_sign_of_life() -> None:
    world = World().start()
    old = world.outbox.beat()
    world.outbox.take_over()
    world.follower.receive([world.outbox.commit("a")], None)
    world.outbox.commit("b")
    for _ in range(4):  # only the old leader reaches the carrier
        world.turn(1)
        world.follower.receive([], old)
    assert world.is_at_head()


def test_silence_turns_to_the_outbox_and_a_beat_turns_back() -> None:
    world = World().start()
    world.turn(1.9)
    reads = world.outbox.reads
    world.outbox.commit("a")
    world.turn(0.2)
    assert world.outbox.reads > reads
    assert world.is_at_head()
    world.turn(10)
    reads = world.outbox.reads
    world.turn(10)
    assert 8 <= world.outbox.reads - reads <= 14  # once a second, with jitter
    world.follower.receive([], world.outbox.beat())
    world.turn(1.1)
    reads = world.outbox.reads
    world.follower.receive([], world.outbox.beat())
    world.turn(1.5)
    assert world.outbox.reads == reads


def test_no_carrier_is_polled() -> None:
    world = World(carrier=False).start()
    world.outbox.commit("a")
    world.turn(1.5)
    assert world.is_at_head()


def test_an_entry_after_a_lost_history_restarts() -> None:
    world = World().start()
    world.follower.receive([world.outbox.commit("a"), world.outbox.commit("b")], None)
    world.outbox.lose_tail(1)
    world.follower.receive([world.outbox.commit("c")], None)
    assert not world.follower.is_live
    world.turn(0.05)
    assert world.is_at_head()
    assert world.recorder.resets == 2


def test_silence_finds_a_lost_history_that_nothing_follows() -> None:
    world = World().start()
    world.follower.receive([world.outbox.commit("a"), world.outbox.commit("b")], None)
    world.outbox.lose_tail(1)
    world.turn(4)
    assert world.is_at_head()


def test_a_beat_finds_a_lost_history_that_nothing_follows() -> None:
    world = World().start()
    world.follower.receive([world.outbox.commit("a"), world.outbox.commit("b")], None)
    world.outbox.lose_tail(1)
    world.follower.receive([], world.outbox.beat())
    world.turn(0.05)
    assert world.is_at_head()


def test_a_pruned_outbox_restarts() -> None:
    world = World().start()
    for name in "abc":
        world.outbox.commit(name)
    del world.outbox.rows[:2]
    world.follower.receive([], world.outbox.beat())
    world.turn(0.05)
    assert world.is_at_head()
    assert world.recorder.resets == 2


def test_many_entries_behind_restarts() -> None:
    world = World().start()
    for _ in range(module.COLD_ENTRIES + 3 * module.PAGE_ENTRIES):
        world.outbox.commit("x")
    world.follower.receive([], world.outbox.beat())
    world.turn(1)
    assert world.is_at_head()
    assert world.recorder.resets == 2


def test_a_full_page_of_old_entries_restarts() -> None:
    world = World().start()
    for second in range(module.PAGE_ENTRIES + 1):
        world.outbox.commit("x", made_ms=second * 1000)
    world.follower.receive([], world.outbox.beat())
    world.turn(0.2)
    assert world.is_at_head()
    assert world.recorder.resets == 2


def test_an_unknown_format_stops_with_its_error() -> None:
    world = World().start()
    world.follower.receive([world.outbox.commit("a", format=FORMAT + 1), world.outbox.commit("b")], None)
    assert [error.format for error in world.fatal] == [FORMAT + 1]
    assert world.recorder.names == []
    assert not world.follower.is_live
    assert world.clock.getDelayedCalls() == []


def test_an_unknown_format_in_the_outbox_stops_too() -> None:
    world = World().start()
    world.outbox.commit("a", format=FORMAT + 1)
    world.follower.receive([], world.outbox.beat())
    world.turn(0.05)
    assert len(world.fatal) == 1
    assert world.clock.getDelayedCalls() == []


def test_a_failing_subscriber_is_reset_and_hurts_nobody() -> None:
    resets: list[int] = []

    def fail(batch: Sequence[EntryItem], entry: Entry) -> None:
        raise ValueError("a bug")

    world = World(Subscription("broken", {"alias"}, fail, resets.append)).start()
    world.follower.receive([world.outbox.commit("a")], None)
    assert world.is_at_head()
    assert resets == [0, 1]
    assert world.follower.counts.subscriber_failures == 1


def test_subscribers_get_their_kinds_only() -> None:
    seen: list[object] = []
    world = World(Subscription("other", {"event"}, lambda batch, entry: seen.append(batch), lambda pos: None)).start()
    world.follower.receive([world.outbox.commit("a")], None)
    assert seen == []


def test_waiting() -> None:
    world = World().start()
    assert world.carrier is not None
    at_one, at_two, too_late = world.wait_for(1), world.wait_for(2), world.wait_for(9, timeout=0.5)
    assert world.follower.someone_waits()
    assert world.carrier.hurried == 3
    world.follower.receive([world.outbox.commit("a")], None)
    assert (at_one, at_two) == ([True], [])
    world.follower.receive([world.outbox.commit("b")], None)
    assert at_two == [True]
    world.turn(0.6)
    assert too_late == [False]
    assert not world.follower.someone_waits()
    assert world.wait_for(2) == [True]


def test_waiting_in_silence_reads_the_outbox_at_once() -> None:
    world = World(carrier=False).start()
    world.turn(5)
    world.outbox.commit("a")
    waiter = world.wait_for(1)
    world.turn(0.02)
    assert waiter == [True]


def test_the_end_frees_who_waits() -> None:
    world = World().start()
    waiter = world.wait_for(5)
    Deferred.fromCoroutine(world.follower.stop())
    assert waiter == [False]
    assert world.clock.getDelayedCalls() == []
    world.follower.receive([world.outbox.commit("a")], Beat(1, 1, ""))
    assert world.follower.position.pos == 0


def test_lag_is_time_not_positions() -> None:
    world = World().start()
    world.outbox.commit("a")
    world.outbox.away = True
    world.follower.receive([], world.outbox.beat())
    world.turn(2)
    assert 1.9 < world.follower.lag_seconds() < 2.1
    world.outbox.away = False
    world.turn(1.5)
    assert world.follower.lag_seconds() == 0


def test_the_lag_of_who_has_heard_nothing_yet_is_a_number() -> None:
    world = World()
    assert 1 < round(1000 * world.follower.lag_seconds()) <= 86_400_000
    world.start()
    assert world.follower.lag_seconds() == 0


def test_what_was_heard_but_is_not_in_the_log_is_not_waited_for() -> None:
    world = World().start()
    world.follower.receive([Entry(1, 50, 49, FORMAT, b"")], None)
    world.clock.advance(0.5)
    assert world.follower.counts.repairs == 1
    world.turn(0.1)
    world.follower.receive([], world.outbox.beat())
    assert world.follower.lag_seconds() == 0
    assert world.follower.position.pos == 0
