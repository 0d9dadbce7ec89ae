"""What waits at the master: turns between origins, limits, callers who gave up, calls that may kill."""

from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, AppendEvents, ForgetRoom, Intent, SetAccountData
from hs_master.decisions.decider import Deciders
from hs_master.log_store.types import AnswerKind
from hs_master.pipeline import intake as module
from hs_master.pipeline.intake import ALWAYS_OF_AN_ORIGIN, ALWAYS_TAKEN, MAXIMUM_OF_AN_ORIGIN, Busy, Intake
from hs_master.pipeline.pending import PendingCall, Terms
from hs_master.step import Knowledge


class NeedsNothing:
    """Decides by the room alone."""

    def queue(self, call: AppendEvents) -> str:
        return call.intents[0].room_id

    def rooms(self, call: AppendEvents) -> list[str]:
        return []

    def needs(self, call: AppendEvents, knowledge: Knowledge) -> list[Any]:
        return []


class ReadsFirst:
    """Serial: what it needs is there when the test says so."""

    def __init__(self) -> None:
        self.reading: list[Deferred[None]] = []

    def queue(self, call: ForgetRoom) -> str:
        return call.room_id

    async def load(self, call: ForgetRoom, db: Any) -> None:
        self.reading.append(Deferred())
        await self.reading[-1]


class Services:
    async def load_services(self) -> None:
        """They are there."""


class Clock:
    now = 0.0


class Desk:
    """An intake without a database."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.serial = ReadsFirst()
        knowledge = Knowledge()
        knowledge.services = cast(Any, object())  # read already
        self.intake = Intake(
            Deciders({AppendEvents: cast(Any, NeedsNothing())}, {ForgetRoom: cast(Any, self.serial)}),
            cast(Any, Services()),
            knowledge,
            cast(Any, None),
            wake=lambda: None,
            background=lambda name, work: cast(None, Deferred.fromCoroutine(work)),
            seconds=lambda: self.clock.now,
        )

    def submit(self, room: str, origin: str = "", key: bytes | None = None, **terms: Any) -> "Deferred[Answer]":
        call = AppendEvents(intents=[Intent(room_id=room, sender=origin, type="m", content={})])
        return self.intake.submit(call, key, AnswerKind.CALL, False, Terms(origin=origin, **terms))

    def take(self) -> list[str]:
        """Who sent what is in the next batch."""
        taken = self.intake.take()
        for call in taken:
            call.succeed(Answer(pos=1))
        self.intake.release(taken)
        return [sender(call) for call in taken]


def sender(call: PendingCall) -> str:
    return call.call.intents[0].sender if isinstance(call.call, AppendEvents) else "serial"


def test_a_human_in_a_flooded_room_is_in_the_next_batch() -> None:
    desk = Desk()
    for _ in range(2_000):
        desk.submit("!room", "bridge")
    desk.submit("!room", "@alice:test")
    batch = desk.take()
    assert "@alice:test" in batch
    assert batch.count("bridge") == 64


def test_calls_of_one_origin_about_a_room_keep_their_order() -> None:
    desk = Desk()
    answered: list[int] = []

    def note(_: Answer, number: int) -> None:
        answered.append(number)

    for number in range(300):
        desk.submit("!room", "bridge").addCallback(note, number)
    while desk.take():
        pass
    assert answered == list(range(300))


def test_an_origin_has_a_limited_part_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAXIMUM_BATCH_US", 10**9)
    desk = Desk()
    for number in range(1_000):
        desk.submit(f"!room{number % 50}", "bridge")
    assert len(desk.take()) == MAXIMUM_OF_AN_ORIGIN


def test_a_batch_ends_at_its_bytes() -> None:
    desk = Desk()
    for number in range(40):
        desk.submit(f"!room{number}", "bridge", size_bytes=500_000)
    assert len(desk.take()) == 5


def test_too_much_is_refused_by_count_bytes_and_time() -> None:
    desk = Desk()
    desk.submit("!room", size_bytes=40 * 1024 * 1024)
    with pytest.raises(Busy):
        desk.submit("!room", size_bytes=40 * 1024 * 1024)
    desk = Desk()
    for _ in range(50):
        desk.intake.costs.committed(1, 0.02)  # 50 a second
    for _ in range(500):
        desk.submit("!room")
    with pytest.raises(Busy) as refused:
        desk.submit("!room")
    assert refused.value.retry_after_ms == 5_000
    desk.take()
    desk.submit("!room")  # there is room again


def test_a_flood_of_others_refuses_nobody_who_asks_for_little() -> None:
    desk = Desk()
    for _ in range(50):
        desk.intake.costs.committed(1, 0.02)
    for _ in range(ALWAYS_TAKEN):
        desk.submit("!flooded", "bridge")
    with pytest.raises(Busy):
        desk.submit("!flooded", "bridge")
    for _ in range(ALWAYS_OF_AN_ORIGIN):
        desk.submit("!quiet", "@human")
    with pytest.raises(Busy):
        desk.submit("!quiet", "@human")
    while desk.take():
        pass
    assert not desk.intake._of_origin


def test_what_nobody_waits_for_any_more_is_not_done() -> None:
    desk = Desk()
    outcomes: list[Any] = []
    desk.submit("!room", "late", key=b"k" * 16, time_left_s=2.0).addErrback(outcomes.append)
    desk.submit("!room", "in time", time_left_s=5.0)
    desk.clock.now = 3.0
    assert desk.take() == ["in time"]
    assert isinstance(outcomes[0].value, MatrixError)
    assert outcomes[0].value.status == 503
    assert desk.intake.waiting == 0
    desk.submit("!room", "late", key=b"k" * 16, time_left_s=2.0)
    assert desk.take() == ["late"]


def test_who_asks_again_under_the_same_key_waits_longer() -> None:
    desk = Desk()
    desk.submit("!room", "one", key=b"k" * 16, time_left_s=2.0)
    desk.clock.now = 1.5
    desk.submit("!room", "one", key=b"k" * 16, time_left_s=8.0)
    desk.clock.now = 3.0
    assert desk.take() == ["one"]


def test_calls_that_may_have_killed_a_master_are_kept_apart() -> None:
    desk = Desk()
    for losses in (0, 1, 2, 1, 2, 0):
        desk.submit(f"!room {losses}", str(losses), losses=losses)
    batches = []
    while batch := desk.take():
        batches.append(batch)
    assert sorted(map(sorted, batches)) == [["0", "0"], ["1", "1", "2", "2"]]


def test_nothing_is_done_in_a_room_while_a_call_about_it_reads_and_is_committed() -> None:
    desk = Desk()
    desk.intake.submit(ForgetRoom(user_id="@a:b", room_id="!room"), None, AnswerKind.CALL, False)
    assert desk.take() == []
    desk.submit("!room", "bridge")
    desk.submit("!other", "bridge")
    assert desk.take() == ["bridge"]
    desk.serial.reading[0].callback(None)
    taken = desk.intake.take()
    assert [sender(call) for call in taken] == ["serial"]
    assert desk.take() == []
    desk.intake.again(taken[0])  # the room had moved on: it is read for anew, and still nobody else is let in
    desk.intake.release(taken)
    assert desk.take() == []
    desk.serial.reading[1].callback(None)
    assert desk.take() == ["serial"]
    assert desk.take() == ["bridge"]


def test_what_is_unknown_is_nobodys_business() -> None:
    with pytest.raises(KeyError):
        Desk().intake.submit(SetAccountData(user_id="@a:b", type="t", content=b"{}"), None, AnswerKind.CALL, False)
