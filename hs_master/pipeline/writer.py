"""The one writer: takes the calls that have arrived while the last transaction committed, decides them one by one on
what is in memory, and writes all they change in one transaction.

Rules. Deciding never waits: what a call needs is read before it is taken (`Intake`). Nothing is answered before it is
committed, and announced before it is answered. A batch that the database refuses is halved and decided anew until the
bad item is alone. Calls that masters ended with are tried in a copy of the process first (`rehearsal`). An unknown
outcome is resolved by a take-over, never guessed. Failure rules, sections 1 and 2.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError, unknown
from hs_common.replication.calls import Answer
from hs_common.replication.entry import Entry, encode_body
from hs_common.storage.queries import DatabaseError
from hs_master import tables
from hs_master.log_store.types import Answer as StoredAnswer
from hs_master.log_store.types import (
    AnswerKind,
    Batch,
    Committed,
    Doubt,
    Fenced,
    Leadership,
    LogStore,
    Refused,
    Resolved,
)
from hs_master.pipeline.intake import Intake
from hs_master.pipeline.pending import NotLeading, PendingCall, decode_outcome, encode_outcome, is_kept
from hs_master.pipeline.rehearsal import Rehearsal, Rehearse, Steps, nothing_ends
from hs_master.pipeline.repeats import Repeats
from hs_master.rooms.head import NotLoaded
from hs_master.step import Draft, Knowledge, Step

# A call whose needs turn out too small is read for again this often; more often is a bug of its decider.
MAXIMUM_ATTEMPTS: Final = 5
UNIQUE_VIOLATION: Final = "23505"
ENDS_THE_MASTER: Final = "The server does not survive this, so it is not done; the failure is logged"

Decided = tuple[PendingCall, Answer | MatrixError]

_log = Logger()


@dataclass(frozen=True, slots=True)
class WriterMetrics:
    """Who is told what the writer does: the kinds of a commit's items and its seconds; that an item was refused."""

    on_committed: Callable[[Iterable[str], float], None] = lambda kinds, seconds: None
    on_refused: Callable[[], None] = lambda: None


class Writer:
    """Decides and commits. One for each master, for as long as it leads."""

    def __init__(
        self,
        log: LogStore,
        leadership: Leadership,
        intake: Intake,
        knowledge: Knowledge,
        *,
        publish: Callable[[Entry], None],
        resolve_doubt: Callable[[Batch], Awaitable[Resolved]],
        now_ms: Callable[[], int],
        seconds: Callable[[], float],
        new_batch_id: Callable[[], str],
        on_new_epoch: Callable[[Leadership], None],
        on_deposed: Callable[[], None],
        on_departed: Callable[[Iterable[tuple[str, str]]], None] = lambda members: None,
        on_job: Callable[[], None] = lambda: None,
        rehearse: Rehearse = nothing_ends,
    ) -> None:
        """`resolve_doubt` takes over from oneself, and tells who leads then: `on_new_epoch` is called if it is us.

        `on_deposed` is called once, when another process leads; `on_departed` with the (room, user) of those who are in
        a room no more, once that is announced, and `on_job` when a job was noted.
        """
        self._log = log
        self._epoch = leadership.epoch
        self._format = leadership.format
        self._prev = leadership.head
        self._next = leadership.first
        self._intake = intake
        self._knowledge = knowledge
        self._publish = publish
        self._resolve_doubt = resolve_doubt
        self._now_ms = now_ms
        self._seconds = seconds
        self._new_batch_id = new_batch_id
        self._on_new_epoch = on_new_epoch
        self._on_deposed = on_deposed
        self._on_departed = on_departed
        self._on_job = on_job
        self._rehearsal = Rehearsal(rehearse, self._steps_of)
        self._repeats = Repeats(seconds)
        self.metrics = WriterMetrics()
        self.leading = True
        self.last_batch = 0
        """How many calls were taken last."""
        self._writing: list[Deferred[None]] | None = None  # who waits for the batch under way; None: there is none

    @property
    def head(self) -> int:
        """The last committed position."""
        return self._prev

    @property
    def waiting(self) -> int:
        """Calls that are not taken yet."""
        return self._intake.waiting

    async def close(self) -> None:
        """Refuse what waits, and return when what is being written is written."""
        self._intake.close(NotLeading())
        if self._writing is not None:
            finished: Deferred[None] = Deferred()
            self._writing.append(finished)
            await finished

    async def run_once(self) -> bool:
        """Decide and commit what is ready; false when there is nothing more to take."""
        pending = self._intake.take()
        self.last_batch = len(pending)
        if not pending:
            return self._intake.is_active  # what was read at once, while we took
        self._writing = []
        try:
            fresh = await self._answer_repeated(pending, self._is_likely_repeated)
            if any(call.is_suspect for call in fresh):
                fresh = await self._innocent(fresh)
            if fresh:
                started = self._seconds()
                await self._write(fresh)
                self._intake.costs.committed(len(fresh), self._seconds() - started)
        except DatabaseError as error:
            # Raised by reading and refusing only, so nothing of these calls is in the log.
            _log.warn("cannot decide now: {error}", error=error)
            _fail_all(pending, unknown("The database cannot be reached at the moment", 503))
        except Exception:
            # A bug, and nobody knows how far it got: what is in memory is void; who asks again is answered anew.
            _log.failure("writing a batch failed")
            self._depose(pending)
        except GeneratorExit:
            self._writing = []  # the process has ended in here: nobody goes on
            raise
        finally:
            self._intake.release(pending)
            finished, self._writing = self._writing, None
            for waiter in finished:
                waiter.callback(None)
        return True

    def _is_likely_repeated(self, call: PendingCall) -> bool:
        """A worker says so itself; of a client's call it is known only where it is likely."""
        return call.kind is not AnswerKind.CLIENT or self._repeats.is_likely(call.key or b"")

    async def _answer_repeated(
        self, pending: Iterable[PendingCall], is_likely: Callable[[PendingCall], bool] = lambda call: True
    ) -> list[PendingCall]:
        """Answer what was answered before; returns the others."""
        pending = list(pending)
        asked = {
            call.key: call
            for call in pending
            if call.key is not None and call.may_be_repeated and not call.looked_up and is_likely(call)
        }
        stored = await self._log.answers(list(asked)) if asked else {}
        for call in asked.values():
            call.looked_up = True
        for key, answer in stored.items():
            call = asked[key]
            outcome = decode_outcome(type(call.call), answer.answer)
            if isinstance(outcome, MatrixError):
                call.fail(outcome)
            else:
                call.succeed(outcome)
        return [call for call in pending if not call.done]

    async def _innocent(self, pending: Sequence[PendingCall]) -> list[PendingCall]:
        """Refuse calls that a master does not survive, else they would go on to the next standby; the others.

        Only what can be decided now is tried; what cannot comes back when it can.
        """
        ready = [call for call in pending if self._intake.is_ready(call)]
        for call in reversed(pending):
            if call not in ready:
                self._intake.again(call)
        for call in await self._rehearsal.fatal(ready):
            _log.error("a {call} is refused: {why}", call=type(call.call).__name__, why=ENDS_THE_MASTER)
            self._intake.suspect(call)
            self.metrics.on_refused()
            await self._log.refuse(call.key or b"", "", ENDS_THE_MASTER, repr(call.call).encode())
            call.fail(unknown(ENDS_THE_MASTER))
        for call in ready:
            call.is_suspect = False  # should it have to be read for again, it need not be tried again
        return [call for call in ready if not call.done]

    def _steps_of(self, pending: Sequence[PendingCall]) -> Steps:
        """What would be done with the calls, each as a step, and then to encode it; for a copy of this process."""
        draft = Draft(self._knowledge, self._next - 1, self._now_ms())

        def decide(call: PendingCall) -> None:
            step = Step(draft)
            self._intake.decide(call, step)
            draft.merge(step)

        return [*(partial(decide, call) for call in pending), partial(self._batch, [], draft)]

    async def _write(self, pending: Sequence[PendingCall]) -> None:
        if not self.leading:
            _fail_all(pending, NotLeading())
            return
        started = self._seconds()
        draft = Draft(self._knowledge, self._next - 1, self._now_ms())
        outcomes = await self._not_answered(self._decide(pending, draft))
        batch = self._batch(outcomes, draft)
        if batch is not None and not await self._commit(batch, [call for call, _ in outcomes], draft):
            return
        self.metrics.on_committed((kind for _, kind, _ in draft.items), self._seconds() - started)
        for call, outcome in outcomes:
            if call.key is not None and call.kind is AnswerKind.CLIENT and is_kept(outcome):
                self._repeats.answered(call.key)
            if isinstance(outcome, MatrixError):
                call.fail(outcome)
            else:
                call.succeed(outcome)

    async def _not_answered(self, outcomes: list[Decided]) -> list[Decided]:
        """Without those that are refused now and were answered before: then that answer counts."""
        refused = [call for call, outcome in outcomes if isinstance(outcome, MatrixError)]
        if not refused:
            return outcomes
        await self._answer_repeated(refused)
        return [(call, outcome) for call, outcome in outcomes if not call.done]

    def _decide(self, pending: Sequence[PendingCall], draft: Draft) -> list[Decided]:
        outcomes: list[Decided] = []
        for call in pending:
            step = Step(draft)
            started = self._seconds()
            try:
                answer = self._intake.decide(call, step)
            except MatrixError as error:
                outcomes.append((call, error))
            except NotLoaded:
                # What was dropped meanwhile to save memory is read again, and is no fault of the decider.
                call.attempts += self._intake.is_ready(call)
                if call.attempts > MAXIMUM_ATTEMPTS:
                    _log.failure("the needs of a {call} are declared too small", call=type(call.call).__name__)
                    outcomes.append((call, unknown("The server failed to decide on this; the failure is logged")))
                else:
                    self._intake.again(call)
            except Exception:
                _log.failure("deciding on a {call} failed", call=type(call.call).__name__)
                outcomes.append((call, unknown("The server failed to decide on this; the failure is logged")))
            else:
                draft.merge(step)
                outcomes.append((call, answer))
            self._intake.costs.decided(type(call.call), self._seconds() - started)
        return outcomes

    def _batch(self, outcomes: list[Decided], draft: Draft) -> Batch | None:
        """What to commit; None when nothing changed."""
        kept = [
            (call.key, encode_outcome(outcome), call.kind)
            for call, outcome in outcomes
            if call.key is not None and is_kept(outcome)
        ]
        rows = draft.all_rows()
        if not draft.items:
            if not kept and not rows:
                return None
            draft.pos += 1  # an entry without items: its position is taken all the same
        return Batch(
            epoch=self._epoch,
            batch=self._new_batch_id(),
            prev=self._prev,
            pos=draft.pos,
            format=self._format,
            body=encode_body(draft.now_ms, draft.items),
            answers=[StoredAnswer(key, draft.pos, answer, kind) for key, answer, kind in kept],
            rows={write: rows[write] for write in tables.ORDER if write in rows},  # type: ignore[misc]
        )

    async def _commit(self, batch: Batch, pending: Sequence[PendingCall], draft: Draft) -> bool:
        """Whether the batch is in the log. If not, its calls were answered, or decided anew."""
        outcome = await self._log.commit(batch)
        if isinstance(outcome, Doubt):
            _log.warn("the outcome of a commit is not known, taking over to learn it: {why}", why=outcome.message)
            resolved = await self._resolve_doubt(batch)
            if resolved.leadership is not None:
                if resolved.leadership.head != (batch.pos if resolved.committed else batch.prev):
                    _log.warn("the log is not as this leader left it: others wrote, or a fail-over lost what it wrote")
                    self._depose(pending)  # what is known here is void; the next term reads anew
                    return False
                self._lead_on(resolved.leadership)
            if resolved.committed:
                self._install(batch, draft)
                return True
            if resolved.leadership is None:
                outcome = Fenced()
        if isinstance(outcome, Committed):
            self._next = batch.pos + 1
            self._install(batch, draft)
            return True
        if isinstance(outcome, Fenced):
            self._depose(pending)
        elif isinstance(outcome, Refused):
            await self._halve(pending, outcome)
        else:
            await self._write(pending)  # the doubt ended: it was not committed
        return False

    def _lead_on(self, leadership: Leadership) -> None:
        self._epoch, self._prev, self._next = leadership.epoch, leadership.head, leadership.first
        self._format = leadership.format
        self._on_new_epoch(leadership)

    def _install(self, batch: Batch, draft: Draft) -> None:
        self._prev = max(self._prev, batch.pos)
        draft.install()
        self._publish(Entry(batch.epoch, batch.pos, batch.prev, batch.format, batch.body))
        if draft.departed:
            self._on_departed(draft.departed)
        if draft.notes_job:
            self._on_job()

    def _depose(self, pending: Sequence[PendingCall]) -> None:
        _fail_all(pending, NotLeading())
        if self.leading:
            self.leading = False
            self._intake.close(NotLeading())
            self._on_deposed()

    async def _halve(self, pending: Sequence[PendingCall], refused: Refused) -> None:
        """Find the item that the database refuses; each half is decided anew, since later items build on earlier."""
        if len(pending) == 1 or refused.sqlstate == UNIQUE_VIOLATION:
            fresh = await self._look_again(pending)
            if len(fresh) < len(pending):  # they were answered before: that was all, most likely
                if fresh:
                    await self._write(fresh)
                return
        if len(pending) > 1:
            middle = len(pending) // 2
            await self._write(pending[:middle])
            await self._write(pending[middle:])
            return
        (call,) = pending
        self.metrics.on_refused()
        _log.error("the database refuses a {call}: {why}", call=type(call.call).__name__, why=refused.message)
        await self._log.refuse(call.key or b"", refused.sqlstate, refused.message, repr(call.call).encode())
        call.fail(unknown("The server cannot store this; the failure is logged"))

    async def _look_again(self, pending: Sequence[PendingCall]) -> list[PendingCall]:
        """Answer all that was answered before, whoever made it: a call may have overtaken its own repeat."""
        for call in pending:
            call.may_be_repeated, call.looked_up = True, False
        fresh = await self._answer_repeated(pending)
        if len(fresh) < len(pending):
            self._repeats.met()
        return fresh


def _fail_all(pending: Sequence[PendingCall], error: Exception) -> None:
    for call in pending:
        call.fail(error)
