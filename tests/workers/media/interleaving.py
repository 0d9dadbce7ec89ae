"""Processes that do something with one content, a step at a time, in an order that a test chooses; each can die before
any of its steps, or lose its connections to the database there and go on.

A step is a statement, the end of a transaction, or something that the storage does. All is real, PostgreSQL's locks
too: who waits for another one's lock, which PostgreSQL is asked, has that one go on until it has it. So a play is the
same each time, however slow the machine is.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from hs_common.storage.database import Database
from hs_common.storage.queries import Arguments, Queries, Row
from hs_workers.media.blobs import Blob, BlobStore, Digest, Found, Piece, Receiving
from tests.reactor import reactor, sleep

LOOK_S: Final = 0.02
"""Between two looks whether a process that does nothing waits for a lock."""
STUCK_LOOKS: Final = 3_000
"""A minute."""


class Fate(Enum):
    """What becomes of a process that stops."""

    GOES_ON = "goes on later"
    DIES = "dies"
    LOSES_CONNECTIONS = "loses its connections and goes on later"
    GOES_ON_HOURS_LATER = "goes on hours later"


class Process:
    """One process, and where it stands. `db` is its database, for what it does."""

    def __init__(self, name: str, url: str, outside: Queries) -> None:
        self.name = name
        self.steps: list[str] = []
        self.failures: list[Failure] = []
        self.is_dead = False
        self._outside = outside
        self._db = Database(url, reactor, lambda: 0.5, size=2, application_name=name)
        self._waiting: list[Deferred[None]] = []
        self._running = 0
        self._moved: Deferred[None] = Deferred()
        self.db: Any = _Stepwise(self)

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Goes as far as its first step."""
        self._running += 1
        Deferred.fromCoroutine(work).addBoth(self._ended)

    def _ended(self, result: Any) -> None:
        self._running -= 1
        if isinstance(result, Failure):
            self.failures.append(result)
        self._tell()

    def _tell(self) -> None:
        """In another turn: who waits for it goes on with this process."""
        reactor.callLater(0, lambda: _fire(self._moved))

    def background(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Work that nobody waits for: none is begun by the dead."""
        if self.is_dead:
            work.close()
        else:
            self.start(work)

    @property
    def is_over(self) -> bool:
        return self.is_dead or not self._running

    @property
    def is_waiting(self) -> bool:
        """Whether it stands before a step."""
        return bool(self._waiting) and not self.is_dead

    async def step(self, what: str) -> None:
        """Waits for its turn."""
        if self.is_dead:
            raise CancelledError
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self._tell()
        await waiting
        self.steps.append(what)

    async def go(self) -> None:
        """Takes its next step, up to the one after that, its end, or somebody's lock."""
        self._waiting.pop(0).callback(None)
        await self.stand()

    async def stand(self) -> None:
        """Waits until it stands before a step, at its end, or before somebody's lock."""
        for _ in range(STUCK_LOOKS):
            if self._waiting or self.is_over:
                return
            moved: Deferred[None] = Deferred()
            self._moved = moved
            timer = reactor.callLater(LOOK_S, _fire, moved)
            await moved
            if timer.active():
                timer.cancel()
            elif not self._waiting and await self._waits_for_a_lock():
                return
        raise AssertionError(f"{self.name} is stuck after {self.steps}")

    async def _waits_for_a_lock(self) -> bool:
        row = await self._outside.fetch_one(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'",
            (self.name,),
        )
        assert row is not None
        return bool(row[0])

    async def die(self) -> None:
        """kill -9: nothing of it goes on, and the database rolls back what it had not committed."""
        self.is_dead = True
        await self._db.close()
        await self._have_gone()

    async def lose_connections(self) -> None:
        """As when it stands still within a transaction for too long."""
        await self._outside.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (self.name,)
        )
        await self._have_gone()

    async def _have_gone(self) -> None:
        """Waits until the database knows none of its connections any more."""
        for _ in range(STUCK_LOOKS):
            row = await self._outside.fetch_one(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (self.name,)
            )
            if row == (0,):
                return
            await sleep(LOOK_S / 10)
        raise AssertionError(f"connections of {self.name} remain")

    async def close(self) -> None:
        """After the play."""
        self.is_dead = True
        await self._db.close()
        for waiting in self._waiting:
            waiting.errback(CancelledError())
        self._waiting.clear()


def _fire(moved: Deferred[None]) -> None:
    if not moved.called:
        moved.callback(None)


class _Stepwise:
    """The pool of a process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        await self._process.step(_named(sql))
        return await self._process._db.fetch(sql, args)

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        await self._process.step(_named(sql))
        return await self._process._db.fetch_one(sql, args)

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        await self._process.step(_named(sql))
        return await self._process._db.execute(sql, args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queries]:
        async with self._process._db.transaction() as txn:
            yield _StepwiseTransaction(self._process, txn)
            await self._process.step("COMMIT")


class _StepwiseTransaction:
    def __init__(self, process: Process, txn: Queries) -> None:
        self._process = process
        self._txn = txn

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        await self._process.step(_named(sql))
        return await self._txn.fetch(sql, args)

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        await self._process.step(_named(sql))
        return await self._txn.fetch_one(sql, args)

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        await self._process.step(_named(sql))
        return await self._txn.execute(sql, args)


def _named(sql: str) -> str:
    return " ".join(sql.split())[:60]


class StepwiseStore:
    """The storage of a process."""

    def __init__(self, process: Process, store: BlobStore) -> None:
        self._process = process
        self._store = store

    async def start(self) -> None:
        await self._store.start()

    def receive(self) -> Receiving:
        return _StepwiseReceiving(self._process, self._store.receive())

    async def open(self, sha256: bytes) -> Blob | None:
        await self._process.step("open")
        return await self._store.open(sha256)

    def signed_url(self, sha256: bytes, content_type: str, disposition: str) -> str | None:
        return None

    async def delete(self, sha256: bytes) -> None:
        await self._process.step("delete bytes")
        await self._store.delete(sha256)

    async def contents(self, prefix: int) -> Sequence[Found]:
        await self._process.step("list")
        return await self._store.contents(prefix)

    async def delete_unfinished(self, minimum_age_s: float) -> int:
        return 0  # what is unfinished here is so until the play has ended


class _StepwiseReceiving:
    def __init__(self, process: Process, receiving: Receiving) -> None:
        self._process = process
        self._receiving = receiving

    async def write(self, pieces: Sequence[Piece]) -> None:
        await self._receiving.write(pieces)

    async def keep(self, digest: Digest, rest: Sequence[Piece]) -> None:
        await self._process.step("keep bytes")
        await self._receiving.keep(digest, rest)

    def let_go(self) -> bool:
        return not self._process.is_dead and self._receiving.let_go()

    async def discard(self) -> None:
        await self._receiving.discard()


Look = Callable[[], Awaitable[None]]


async def steps_of(process: Process, other: Process, count: int | None, look: Look) -> bool:
    """So many steps of the process, None: all; whether it has more. Where it waits for the other one's lock, that one
    goes on. `look` is called after each step."""
    taken = 0
    for _ in range(STUCK_LOOKS):
        await process.stand()
        if process.is_over or taken == count:
            return not process.is_over
        turn = process if process.is_waiting else other
        if turn.is_waiting:
            taken += turn is process
            await turn.go()
            await look()
        else:
            await sleep(LOOK_S)  # the other one has died, which the database is about to see
    raise AssertionError(f"{process.name} does not end: {process.steps}")
