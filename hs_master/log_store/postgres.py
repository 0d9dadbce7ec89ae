"""The log in PostgreSQL: one session holds the lock of leaders and writes; the pool reads beside it.

Rules: the lock is only the alarm clock, the leader's row is the fence, and both live in the one writing session; a
batch is one string of statements, so one round trip; what cannot be known is `Doubt`, which only a take-over ends.
The session is PostgreSQL's own, never a transaction-mode pooler's. Must not know what bodies and rows mean.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from twisted.internet.defer import DeferredLock

from hs_common.storage import log
from hs_common.storage.connection import Connection, Reactor, session_dsn
from hs_common.storage.database import Database
from hs_common.storage.queries import (
    CONNECTION_LOST,
    ENCODING_REFUSED,
    DatabaseError,
    DatabaseUnavailable,
    StatementConflict,
)
from hs_master.log_store import encoding
from hs_master.log_store.takeover import (
    LOCK_WAIT_MS,
    Backend,
    check_server,
    end_sessions_holding_the_lock,
    release_lock,
    take_over,
    try_lock,
)
from hs_master.log_store.types import (
    Answer,
    AnswerKind,
    Batch,
    Candidate,
    Committed,
    Doubt,
    Entry,
    Fenced,
    Leadership,
    Observation,
    Outcome,
    Refused,
    Resolved,
    Write,
)

COMMIT_DEADLINE_S = 30.0  # statement_timeout does not cover COMMIT; a hung one must not hang the server
RETAKE_WAIT_MS = 200  # the lock was just let go: it is ours now, or a standby's
CONFLICT_ATTEMPTS = 4  # the first and three more: the same bytes again after a deadlock
FENCED = "VF001"
# Trouble of the database, never an item's: bisecting on "disk full" would blame a hundred innocents.
_TROUBLE = ("08", "25", "53", "55", "57", "58", "XX")
_LOG_CONSTRAINTS = ("outbox_pkey", "outbox_prev_key")  # somebody has written at our position: perhaps we, before

# Plans are pinned: one made while a table was empty grew threefold with the table. Inserts and index look-ups only.
_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "synchronous_commit": "on",
    "client_min_messages": "warning",
}


class PostgresLogStore:
    """See `LogStore`. `now_us` is microseconds since 1970; `writes` in the order in which a batch runs them."""

    def __init__(
        self, dsn: str, reactor: Reactor, pool: Database, now_us: Callable[[], int], writes: Sequence[Write] = ()
    ) -> None:
        self._dsn = session_dsn(dsn, "viaduct master", **_PLANS)
        self._reactor = reactor
        self._pool = pool
        self._now_us = now_us
        self._writes = tuple(writes)
        self._session: Connection | None = None
        self._backend: Backend | None = None  # of the last writing session
        self._candidate: Candidate | None = None
        self._stream_epoch = 0
        self._epoch = 0
        self._turn: DeferredLock = DeferredLock()

    @property
    def backend_pid(self) -> int:
        """The server's process behind the last writing session; 0 before the first."""
        return self._backend.pid if self._backend is not None else 0

    async def wait_for_lock(self) -> None:
        await self._turn.acquire()
        try:
            session = await self._fresh_session()
            while not await try_lock(session, LOCK_WAIT_MS):
                pass  # a statement that waits holds vacuum back: so not for ever, but again and again
        finally:
            self._turn.release()

    async def take(self, candidate: Candidate, stream_epoch: int = 0) -> Leadership:
        await self._turn.acquire()
        try:
            self._candidate, self._stream_epoch = candidate, stream_epoch
            return await self._take_over(self._open_session())
        finally:
            self._turn.release()

    async def beat(self) -> bool:
        await self._turn.acquire()
        try:
            sql = "UPDATE leader SET beat = beat + 1 WHERE epoch = %s"
            return await self._open_session().execute(sql, (self._epoch,)) == 1
        finally:
            self._turn.release()

    async def commit(self, batch: Batch) -> Outcome:
        try:
            sql = encoding.transaction(batch, self._writes)
        except ValueError as error:
            return Refused(ENCODING_REFUSED, str(error))
        await self._turn.acquire()
        try:
            for _ in range(CONFLICT_ATTEMPTS - 1):
                with suppress(StatementConflict):
                    return await self._send(sql)
            return await self._send(sql)
        except StatementConflict as error:
            return Doubt(f"{CONFLICT_ATTEMPTS} conflicts: {error}")
        finally:
            self._turn.release()

    async def resolve_doubt(self, batch: Batch) -> Resolved:
        await self._turn.acquire()
        try:
            self._drop_session()
            # After this the old session is gone, and with it all that could still change the outcome.
            await end_sessions_holding_the_lock(self._pool, only=self._backend)
            session = await self._fresh_session()
            leadership = None
            if await try_lock(session, RETAKE_WAIT_MS):
                leadership = await self._take_over(session)
            else:
                self._drop_session()  # a standby was faster
            committed = await log.batch_at(self._pool, batch.pos) == batch.batch
            return Resolved(committed, leadership)
        finally:
            self._turn.release()

    async def release(self) -> None:
        await self._turn.acquire()
        try:
            if self._session is not None and not self._session.closed:
                await release_lock(self._session)
        finally:
            self._drop_session()
            self._turn.release()

    async def observe(self) -> Observation:
        return Observation(*await log.leader(self._pool))

    async def dethrone(self) -> bool:
        mine = self._backend if self._session is not None else None
        return await end_sessions_holding_the_lock(self._pool, but=mine) > 0

    async def head(self) -> int:
        return await log.head(self._pool)

    async def read(self, after: int, limit: int) -> list[Entry]:
        return [Entry(*row) for row in await log.read(self._pool, after, limit)]

    async def answers(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        rows = await log.answers(self._pool, keys)
        return {key: Answer(key, pos, answer, AnswerKind(kind)) for key, pos, answer, kind in rows}

    async def refuse(self, key: bytes, sqlstate: str, message: str, item: bytes) -> None:
        await log.refuse(self._pool, key, sqlstate, message, item)

    async def prune(self, keep_s: float) -> int:
        await log.prune_answers(self._pool, AnswerKind.CALL, log.CALL_ANSWERS_KEPT_S)
        await log.prune_answers(self._pool, AnswerKind.CLIENT, log.TRANSACTION_ANSWERS_KEPT_S)
        await log.prune_refused_items(self._pool)
        return await log.prune_outbox(self._pool, keep_s)

    async def _send(self, sql: str) -> Outcome:
        """One try. StatementConflict: certainly nothing happened, and the same bytes may be sent again."""
        session = self._session
        if session is None or session.closed:
            return Doubt("the writing session has ended")
        try:
            await session.run(sql, deadline_s=COMMIT_DEADLINE_S)
        except DatabaseError as error:
            if session.closed:
                return Doubt(str(error))
            await self._roll_back(session)
            return _judge(error)
        warnings = session.read_notices()
        if warnings:  # a cancelled wait for a synchronous standby is one
            return Doubt(f"a warning at COMMIT: {warnings[-1].strip()}")
        return Committed()

    async def _roll_back(self, session: Connection) -> None:
        try:
            await session.run("ROLLBACK")
        except DatabaseUnavailable:
            self._drop_session()  # the transaction went with it; the next commit finds no session, which is a doubt

    async def _take_over(self, session: Connection) -> Leadership:
        assert self._candidate is not None, "a doubt follows take"
        leadership = await take_over(session, self._candidate, self._stream_epoch, self._now_us())
        self._epoch = leadership.epoch
        return leadership

    def _open_session(self) -> Connection:
        if self._session is None or self._session.closed:
            raise DatabaseUnavailable(CONNECTION_LOST, "the writing session has ended")
        return self._session

    async def _fresh_session(self) -> Connection:
        self._drop_session()
        session = await Connection.open(self._dsn, self._reactor)
        try:
            self._backend = await check_server(session)
            await session.run(encoding.preparations(self._writes))
        except BaseException:
            session.close()
            raise
        self._session = session
        return session

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _judge(error: DatabaseError) -> Outcome:
    """What a failed statement says of its batch, the session being alive: the transaction has not committed."""
    if error.sqlstate == FENCED:
        return Fenced()
    if error.sqlstate.startswith("40"):
        raise error
    if error.sqlstate[:2] in _TROUBLE or error.constraint in _LOG_CONSTRAINTS:
        return Doubt(str(error))
    return Refused(error.sqlstate, error.message)
