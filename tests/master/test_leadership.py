"""Leadership: the two machines by hand, and the driver over the memory log on a virtual clock."""

from typing import TypeVar

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from hs_common.storage.queries import CONNECTION_LOST, DatabaseUnavailable
from hs_master.leadership import CLAIM_LIMIT_S, STILL_LIMIT_S, Claim, Election, StillnessWatch
from hs_master.log_store.memory import Fault, MemoryLog, MemoryLogStore
from hs_master.log_store.types import Committed, Doubt, Fenced, Leadership, NotALeader, Observation
from tests.master.log_store_contract import candidate, first_batch
from tests.master.test_log_store_memory import Chosen


def seen(beat: int, epoch: int = 7, holder: str | None = "somebody") -> Observation:
    return Observation(epoch, beat, holder, "10.0.0.1:1", 1)


def test_a_beat_that_stands_still_long_enough_is_a_hang() -> None:
    watch = StillnessWatch()
    assert [watch.observed(float(now), seen(3)) for now in range(7)] == [False] * 5 + [True] * 2


def test_a_beat_that_moves_is_life_and_so_is_another_epoch() -> None:
    watch = StillnessWatch()
    assert not any(watch.observed(float(now), seen(now)) for now in range(20))
    assert not any(watch.observed(20.0 + now, seen(0, epoch=100 + now)) for now in range(20))


def test_nobody_is_not_dethroned() -> None:
    watch = StillnessWatch()
    assert not any(watch.observed(float(now), seen(0, holder=None)) for now in range(20))


def test_an_own_write_that_fails_starts_the_watch_again() -> None:
    watch = StillnessWatch()
    for now in range(5):
        assert not watch.observed(float(now), seen(3))
    watch.could_not_look()
    assert [watch.observed(5.0 + now, seen(3)) for now in range(6)] == [False] * 5 + [True]


def test_an_observer_that_looked_away_starts_again() -> None:
    watch = StillnessWatch()
    assert not watch.observed(0.0, seen(3))
    assert not watch.observed(60.0, seen(3))
    assert not watch.observed(61.0, seen(3))


def test_a_claim_counts_from_the_beginning_of_the_beat() -> None:
    claim = Claim()
    assert not claim.holds(0.0)
    claim.confirmed(began=10.0)
    assert claim.holds(10.0 + CLAIM_LIMIT_S)
    assert not claim.holds(10.1 + CLAIM_LIMIT_S)
    claim.confirmed(began=9.0)  # an older beat that was answered later shortens nothing
    assert claim.holds(10.0 + CLAIM_LIMIT_S)
    claim.given_up()
    assert not claim.holds(10.0)


def test_the_old_leader_is_silent_before_a_new_one_speaks() -> None:
    assert CLAIM_LIMIT_S < STILL_LIMIT_S


T = TypeVar("T")


class Frozen(MemoryLogStore):
    """A process that can be stopped: its beats wait."""

    frozen = False

    async def beat(self) -> bool:
        if self.frozen:
            await Deferred()
        return await super().beat()


class Process:
    """One master on the virtual clock of its world."""

    def __init__(self, world: "ElectionWorld", name: int) -> None:
        self.world = world
        self.store = Frozen(world.log)
        self.said: list[str] = []
        self.database_answers = True
        self.slept = 0.0
        self.election = Election(
            self.store,
            candidate(name),
            world.clock,
            self._member_beat,
            self._stream_epoch,
            self.said.append,
            now=lambda: world.clock.seconds() + self.slept,
        )
        self.leadership: Deferred[Leadership] = Deferred.fromCoroutine(self.election.lead())

    async def _member_beat(self) -> None:
        if not self.database_answers:
            raise DatabaseUnavailable(CONNECTION_LOST, "slow")

    async def _stream_epoch(self) -> int:
        return 5


class ElectionWorld:
    def __init__(self) -> None:
        self.clock = Clock()
        self.log = MemoryLog(lambda: int(self.clock.seconds() * 1e6))

    def process(self, name: int) -> Process:
        return Process(self, name)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))


@pytest.fixture
def world() -> ElectionWorld:
    return ElectionWorld()


def now_or_never(awaited: "Deferred[T]") -> T:
    results: list[T] = []
    awaited.addCallback(results.append)
    assert results, "it has not happened"
    return results[0]


def test_the_first_leads_and_the_second_stands_by(world: ElectionWorld) -> None:
    one, two = world.process(1), world.process(2)
    assert now_or_never(one.leadership).epoch > 5
    world.pass_time(30)
    assert one.election.is_leader
    assert not two.leadership.called
    assert not two.election.is_leader
    assert world.log.leader.beat >= 25


def test_a_leader_that_hangs_is_silent_and_then_dethroned(world: ElectionWorld) -> None:
    one, two = world.process(1), world.process(2)
    before = now_or_never(one.leadership)
    world.pass_time(3)
    one.store.frozen = True
    world.pass_time(CLAIM_LIMIT_S + 0.2)
    assert not one.election.is_leader
    assert not two.leadership.called
    world.pass_time(STILL_LIMIT_S)
    assert now_or_never(two.leadership).epoch > before.epoch
    assert two.said == ["the leader's beat stands still: ending its session"]
    one.store.frozen = False
    lost = Deferred.fromCoroutine(one.election.until_lost())
    assert now_or_never(Deferred.fromCoroutine(one.election.check())) is False
    assert "beat" in now_or_never(lost)
    outcome = now_or_never(Deferred.fromCoroutine(one.store.commit(first_batch(before))))
    assert isinstance(outcome, Doubt | Fenced)


def test_nobody_is_dethroned_while_the_database_is_slow_for_everybody(world: ElectionWorld) -> None:
    one, two = world.process(1), world.process(2)
    one.store.frozen = True
    two.database_answers = False
    world.pass_time(60)
    assert not two.leadership.called
    two.database_answers = True
    world.pass_time(STILL_LIMIT_S + 2)
    assert two.leadership.called


def test_one_own_write_that_fails_now_and_then_is_doubt_enough(world: ElectionWorld) -> None:
    one, two = world.process(1), world.process(2)
    one.store.frozen = True
    for _ in range(20):
        two.database_answers = not two.database_answers
        world.pass_time(1)
    assert not two.leadership.called


def test_a_clean_hand_over_is_at_once(world: ElectionWorld) -> None:
    one, two = world.process(1), world.process(2)
    world.pass_time(2)
    lost = Deferred.fromCoroutine(one.election.until_lost())
    now_or_never(Deferred.fromCoroutine(one.election.step_down()))
    assert not one.election.is_leader
    assert now_or_never(lost) == "stepped down"
    assert two.leadership.called
    world.pass_time(10)
    assert two.election.is_leader
    assert not one.election.is_leader


def test_a_leader_that_slept_knows_it_at_once_and_leads_on_after_a_beat(world: ElectionWorld) -> None:
    one = world.process(1)
    one.slept = 3600.0
    assert not one.election.is_leader
    assert now_or_never(Deferred.fromCoroutine(one.election.check()))
    assert one.election.is_leader


def test_a_fenced_leader_is_none(world: ElectionWorld) -> None:
    one = world.process(1)
    lost = Deferred.fromCoroutine(one.election.until_lost())
    leader = world.log.leader
    world.log.leader = Observation(leader.epoch + 1, 0, "other", "10.0.0.9:1", 1)
    world.pass_time(1.5)
    assert "later epoch" in now_or_never(lost)
    assert not one.election.is_leader


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY])
def test_a_doubt_is_resolved_by_leading_anew(world: ElectionWorld, fault: Fault) -> None:
    one = world.process(1)
    before = now_or_never(one.leadership)
    one.store.faults = Chosen(fault)
    batch = first_batch(before)
    assert isinstance(now_or_never(Deferred.fromCoroutine(one.store.commit(batch))), Doubt)
    resolved = now_or_never(Deferred.fromCoroutine(one.election.resolve_doubt(batch)))
    assert resolved.committed is (fault is Fault.LOSE_REPLY)
    assert resolved.leadership is not None
    assert one.election.is_leader
    one.store.faults = Chosen(Fault.NONE)
    again = Deferred.fromCoroutine(one.store.commit(first_batch(resolved.leadership)))
    assert now_or_never(again) == Committed()


def test_a_doubt_with_a_standby_waiting_ends_the_leadership(world: ElectionWorld) -> None:
    one, two = world.process(1), world.process(2)
    lost = Deferred.fromCoroutine(one.election.until_lost())
    one.store.faults = Chosen(Fault.LOSE_REPLY)
    batch = first_batch(now_or_never(one.leadership))
    now_or_never(Deferred.fromCoroutine(one.store.commit(batch)))
    resolved = now_or_never(Deferred.fromCoroutine(one.election.resolve_doubt(batch)))
    assert (resolved.committed, resolved.leadership) == (True, None)
    assert "took over" in now_or_never(lost)
    assert now_or_never(two.leadership).head == batch.pos


def test_a_leader_can_lead_again_after_it_was_lost(world: ElectionWorld) -> None:
    one = world.process(1)
    first = now_or_never(one.leadership)
    now_or_never(Deferred.fromCoroutine(one.election.step_down()))
    world.pass_time(1)
    assert now_or_never(Deferred.fromCoroutine(one.election.lead())).epoch > first.epoch
    world.pass_time(10)
    assert one.election.is_leader


def test_a_lost_session_without_a_commit_lapses_and_is_announced(world: ElectionWorld) -> None:
    one = world.process(1)
    lost = Deferred.fromCoroutine(one.election.until_lost())
    world.log.end_session(one.store)
    world.pass_time(CLAIM_LIMIT_S + 1.5)
    assert "did not take" in now_or_never(lost)


def test_standing_by_can_be_cancelled(world: ElectionWorld) -> None:
    world.process(1)
    two = world.process(2)
    world.pass_time(2)
    two.leadership.cancel()
    two.leadership.addErrback(lambda failure: failure.trap(CancelledError))
    assert world.log.waiting == type(world.log.waiting)()
    beat = world.clock.getDelayedCalls()
    assert len(beat) == 1  # the leader's; the standby has none left


def test_a_process_that_cannot_lead_lets_the_lock_go(world: ElectionWorld) -> None:
    world.log.leader = Observation(0, 0, None, None, 3)
    one = world.process(1)
    refused: list[NotALeader] = []
    one.leadership.addErrback(lambda failure: refused.append(failure.value))  # type: ignore[call-overload]
    assert "format 3" in str(refused[0])
    assert world.log.holder is None
