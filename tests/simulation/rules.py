"""The rules that carry the weight, each with what the code would be without it: a world must fail when one is off.

Each is a context in which the real classes are changed; production code knows no switches.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary

from hs_common.replication import follower
from hs_common.replication.carrier import Beat, Position
from hs_common.replication.entry import Entry
from hs_common.replication.follower import Follower
from hs_common.replication.verdict import PageVerdict, Verdict, judge, judge_page
from hs_master import leading
from hs_master.desk import Desk
from hs_master.leadership import Election, StillnessWatch
from hs_master.log_store.memory import MemoryLog, MemoryLogStore
from hs_master.log_store.types import Batch, Leadership, Observation, Outcome, Resolved
from hs_master.pipeline.intake import Intake
from hs_master.pipeline.pending import PendingCall
from hs_master.pipeline.rehearsal import Rehearsal, Steps
from hs_master.pipeline.writer import Writer
from hs_master.step import Knowledge
from tests.simulation.masters import MasterProcess
from tests.simulation.workers import WorkerProcess


@contextmanager
def _fresh_positions() -> Iterator[None]:
    """A new leader goes on behind the head, with the epoch after the one that the database remembers."""

    def take(self: MemoryLogStore) -> Leadership:
        self._check_connected()
        log, candidate = self.log, self._candidate
        assert candidate is not None, "a doubt follows take"
        self._epoch = log.leader.epoch + 1
        log.epochs.append((self._epoch, log.head, log.head + 1))
        log.leader = Observation(self._epoch, 0, candidate.member, candidate.address, log.leader.format)
        return Leadership(self._epoch, log.head + 1, log.head, log.leader.format)

    with mock.patch.object(MemoryLogStore, "_take", take):
        yield


@contextmanager
def _fence() -> Iterator[None]:
    """The epoch is not looked at in the transaction."""
    apply = MemoryLog.apply

    def unfenced(self: MemoryLog, batch: Batch) -> Outcome:
        leader, self.leader = self.leader, Observation(batch.epoch, 0, None, None, 1)
        try:
            return apply(self, batch)
        finally:
            self.leader = leader

    with mock.patch.object(MemoryLog, "apply", unfenced):
        yield


@contextmanager
def _lost_history() -> Iterator[None]:
    """prev below mine is not noticed: what is above mine and does not join is left alone."""

    def found(verdict: Verdict) -> Verdict:
        return Verdict.IGNORE if verdict is Verdict.LOST else verdict

    def deaf_judge(mine: int, prev: int, pos: int) -> Verdict:
        return found(judge(mine, prev, pos))

    def deaf_page(mine: int, page: Sequence[Entry]) -> PageVerdict:
        verdict = judge_page(mine, page)
        return PageVerdict(verdict.apply, restart=False)

    def deaf_beat(mine: Position, beat: Beat) -> Verdict:
        return Verdict.HOLE if beat.head > mine.pos else Verdict.IGNORE

    async def never(self: Follower, asked_after: int, page: Sequence[Entry], full: bool) -> bool:
        return False

    with ExitStack() as stack:
        for name, changed in (("judge", deaf_judge), ("judge_page", deaf_page), ("judge_beat", deaf_beat)):
            stack.enter_context(mock.patch.object(follower, name, changed))
        stack.enter_context(mock.patch.object(Follower, "_must_restart", never))
        yield


@contextmanager
def _beat_names_the_head() -> Iterator[None]:
    """A beat is a sign of life and nothing else."""

    def hear(self: Follower, beat: Beat) -> None:
        self._last_sign = self._clock.seconds()
        self.leader_address = beat.address

    with mock.patch.object(Follower, "_meet_beat", hear):
        yield


@contextmanager
def _holes() -> Iterator[None]:
    """An entry above the next one is taken as if nothing were missing."""

    def trusting(mine: int, prev: int, pos: int) -> Verdict:
        return Verdict.APPLY if pos > mine else Verdict.IGNORE

    with mock.patch.object(follower, "judge", trusting):
        yield


def _silence() -> AbstractContextManager[Any]:
    """The outbox is not read when the carrier says nothing."""

    def look(self: Follower) -> None:
        if self._cold or self._behind_since is not None:
            self.catch_up()

    return mock.patch.object(Follower, "_look", look)


@contextmanager
def _doubt() -> Iterator[None]:
    """An unknown outcome is taken for a failure; the leadership is taken anew all the same."""
    resolve = Election.resolve_doubt

    async def pessimist(self: Election, batch: Batch) -> Resolved:
        return Resolved(False, _agreeable((await resolve(self, batch)).leadership, batch.prev))

    with mock.patch.object(Election, "resolve_doubt", pessimist):
        yield


@contextmanager
def _doubt_is_no_success() -> Iterator[None]:
    """An unknown outcome is taken for a success."""
    resolve = Election.resolve_doubt

    async def optimist(self: Election, batch: Batch) -> Resolved:
        return Resolved(True, _agreeable((await resolve(self, batch)).leadership, batch.pos))

    with mock.patch.object(Election, "resolve_doubt", optimist):
        yield


@contextmanager
def _answers() -> Iterator[None]:
    """What was answered is neither kept nor looked up."""
    apply = MemoryLog.apply

    def forgetful(self: MemoryLog, batch: Batch) -> Outcome:
        for answer in batch.answers:
            self.answers.pop(answer.key, None)
        return apply(self, batch)

    async def unanswered(self: Writer, pending: Any, is_likely: Any = None) -> Any:
        return [call for call in pending if not call.done]

    with (
        mock.patch.object(MemoryLog, "apply", forgetful),
        mock.patch.object(Writer, "_answer_repeated", unanswered),
    ):
        yield


@contextmanager
def _join() -> Iterator[None]:
    """Two calls under one key at the same time are two calls, and a key that is refused is not looked up."""
    submit = Intake.submit

    def alone(self: Intake, *args: Any) -> Any:
        self._by_key.clear()
        return submit(self, *args)

    async def blind(self: Writer, pending: Any) -> Any:
        return list(pending)

    with mock.patch.object(Intake, "submit", alone), mock.patch.object(Writer, "_look_again", blind):
        yield


@contextmanager
def _overlay() -> Iterator[None]:
    """What is decided is installed before it is committed."""
    commit = Writer._commit

    async def hasty(self: Writer, batch: Batch, pending: Any, draft: Any) -> bool:
        draft.install()
        return await commit(self, batch, pending, draft)

    with mock.patch.object(Writer, "_commit", hasty):
        yield


@contextmanager
def _knowledge() -> Iterator[None]:
    """A leader trusts what it knew of rooms when it led before."""
    kept: WeakKeyDictionary[Desk, Knowledge] = WeakKeyDictionary()
    build = leading.Term.__init__

    def remembering(self: leading.Term, **parts: Any) -> None:
        build(self, **{**parts, "knowledge": kept.setdefault(parts["desk"], Knowledge())})

    with mock.patch.object(leading.Term, "__init__", remembering):
        yield


@contextmanager
def _same_history() -> Iterator[None]:
    """After a doubt a leader goes on with its heads, whatever the head of the log is then."""
    resolve = Election.resolve_doubt

    async def ignorant(self: Election, batch: Batch) -> Resolved:
        resolved = await resolve(self, batch)
        expected = batch.pos if resolved.committed else batch.prev
        return Resolved(resolved.committed, _agreeable(resolved.leadership, expected))

    with mock.patch.object(Election, "resolve_doubt", ignorant):
        yield


def _agreeable(leadership: Leadership | None, expected: int) -> Leadership | None:
    """The same, but its head looks as the leader expects it."""
    if leadership is None:
        return None
    head = _Agreeable(leadership.head)
    head.expected = expected
    return Leadership(leadership.epoch, leadership.first, head, leadership.format)


class _Agreeable(int):
    """A number that is not different from the one expected."""

    expected: int

    def __ne__(self, other: object) -> bool:
        return other != self.expected

    __hash__ = int.__hash__


def _rehearsal() -> AbstractContextManager[Any]:
    """Calls that end masters are decided as any other."""

    async def survived(self: MasterProcess, steps: Steps) -> int | None:
        return None

    return mock.patch.object(MasterProcess, "_rehearse", survived)


@contextmanager
def _losses_prove_nothing() -> Iterator[None]:
    """A call that three masters did not survive is refused, whatever these ended of."""

    async def prejudice(self: Rehearsal, calls: Sequence[PendingCall]) -> list[PendingCall]:
        return [call for call in calls if call.terms.losses >= 3]

    with mock.patch.object(Rehearsal, "fatal", prejudice):
        yield


def _dethrone() -> AbstractContextManager[Any]:
    """A leader that hangs is left alone."""
    return mock.patch.object(StillnessWatch, "observed", return_value=False)


@contextmanager
def _token_gaps() -> Iterator[None]:
    """A token of a lost history is answered like any other."""
    lost_before = WorkerProcess.lost_before

    async def never_lost(self: WorkerProcess, since: int, position: int) -> int | None:
        await lost_before(self, since, position)
        return None

    with mock.patch.object(WorkerProcess, "lost_before", never_lost):
        yield


RULES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "fresh positions": _fresh_positions,
    "fence": _fence,
    "lost history": _lost_history,
    "beat names the head": _beat_names_the_head,
    "holes": _holes,
    "silence": _silence,
    "doubt is no failure": _doubt,
    "doubt is no success": _doubt_is_no_success,
    "same history after doubt": _same_history,
    "answers": _answers,
    "equal keys join": _join,
    "overlay": _overlay,
    "heads read anew": _knowledge,
    "dethrone": _dethrone,
    "token gaps": _token_gaps,
    "rehearsal": _rehearsal,
    "losses prove nothing": _losses_prove_nothing,
}
