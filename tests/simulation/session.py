"""A process' way to the database: each request and each answer takes time, and either may be lost.

What was asked is done by the database whatever becomes of the process meanwhile: that is how a leader dies before or
after a commit, and sleeps between a commit and its answer. Reads go the same way.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock

from hs_common.storage.queries import CONNECTION_LOST, Arguments, DatabaseUnavailable, Row
from hs_master import tables
from hs_master.log_store.memory import Faults, MemoryLogStore
from hs_master.log_store.types import (
    Answer,
    Batch,
    Candidate,
    Doubt,
    Entry,
    Leadership,
    Observation,
    Outcome,
    Resolved,
)
from tests.simulation.clock import Process
from tests.simulation.database import SimulatedLog
from tests.simulation.queries import ANSWERERS

T = TypeVar("T")


class Road:
    """The connection between one process and the database."""

    def __init__(self, process: Process, database: SimulatedLog, latency: Callable[[], float]) -> None:
        self.database = database
        self.process = process
        self._clock = process._clock
        self.latency = latency

    async def ask(self, operation: Callable[[], Awaitable[T]], given_up: Callable[[], None] = lambda: None) -> T:
        """Have the database do something. Raises DatabaseUnavailable while it is away."""
        reply: Deferred[T] = Deferred(lambda _: given_up())
        self._clock.callLater(self.latency(), self._arrive, operation, reply)
        return await reply

    def _arrive(self, operation: Callable[[], Awaitable[T]], reply: "Deferred[T]") -> None:
        if reply.called:
            return
        doing = Deferred.fromCoroutine(self._at_the_database(operation))
        doing.addBoth(self._send_back, reply)

    async def _at_the_database(self, operation: Callable[[], Awaitable[T]]) -> T:
        if self.database.away:
            raise DatabaseUnavailable(CONNECTION_LOST, "the database is away")
        return await operation()

    def _send_back(self, outcome: Any, reply: "Deferred[T]") -> None:
        self.process.callLater(self.latency(), lambda: None if reply.called else reply.callback(outcome))


class Session:
    """`LogStore` over a road. The writing session does one thing after the other, in the order asked."""

    def __init__(self, road: Road, faults: Faults) -> None:
        self._road = road
        self._database = road.database
        self.store = MemoryLogStore(road.database, faults, tables.ORDER)
        self._turn: DeferredLock = DeferredLock()

    async def wait_for_lock(self) -> None:
        await self._turn.acquire()

        async def wait() -> None:
            self._check_caller()
            await self.store.wait_for_lock()

        try:
            await self._road.ask(wait, lambda: self._database.end_session(self.store))
        finally:
            self._turn.release()

    async def take(self, candidate: Candidate, stream_epoch: int = 0) -> Leadership:
        async def take() -> Leadership:
            if self._database.holder is not self.store:
                raise DatabaseUnavailable(CONNECTION_LOST, "the session has ended")
            leadership = await self.store.take(candidate, stream_epoch)
            self._database.note_taken()
            return leadership

        return await self._in_turn(take)

    async def beat(self) -> bool:
        return await self._in_turn(self.store.beat)

    async def commit(self, batch: Batch) -> Outcome:
        async def commit() -> Outcome:
            return await self.store.commit(batch)

        try:
            return await self._in_turn(commit)
        except DatabaseUnavailable as error:
            return Doubt(str(error))

    async def resolve_doubt(self, batch: Batch) -> Resolved:
        async def resolve() -> Resolved:
            self._check_caller()
            resolved = await self.store.resolve_doubt(batch)
            if resolved.leadership is not None:
                self._database.note_taken()
            return resolved

        return await self._in_turn(resolve)

    async def release(self) -> None:
        await self._in_turn(self.store.release)

    async def observe(self) -> Observation:
        return await self._road.ask(self.store.observe)

    async def dethrone(self) -> bool:
        return await self._road.ask(self.store.dethrone)

    async def head(self) -> int:
        return await self._road.ask(self.store.head)

    async def read(self, after: int, limit: int) -> list[Entry]:
        return await self._road.ask(lambda: self.store.read(after, limit))

    async def answers(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        return await self._road.ask(lambda: self.store.answers(keys))

    async def refuse(self, key: bytes, sqlstate: str, message: str, item: bytes) -> None:
        await self._road.ask(lambda: self.store.refuse(key, sqlstate, message, item))

    async def prune(self, keep_s: float) -> int:
        return await self._road.ask(lambda: self.store.prune(keep_s))

    def _check_caller(self) -> None:
        """A session that began after its process died would end at once."""
        if not self._road.process.is_alive:
            raise DatabaseUnavailable(CONNECTION_LOST, "nobody is there any more")

    async def _in_turn(self, operation: Callable[[], Awaitable[T]]) -> T:
        await self._turn.acquire()
        try:
            return await self._road.ask(operation)
        finally:
            self._turn.release()


class Reads:
    """`Queries` over a road: the statements of `queries.py`."""

    def __init__(self, road: Road) -> None:
        self._road = road

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        answerer = ANSWERERS.get(sql)
        assert answerer is not None, f"no simulated call reads by {sql}"
        assert not isinstance(args, dict), "the statements here take a list"
        listed = list(args)

        async def answer() -> list[Row]:
            return answerer(self._road.database, listed)

        return await self._road.ask(answer)

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        rows = await self.fetch(sql, args)
        return rows[0] if rows else None

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        raise AssertionError("nothing is written beside the log")


class CommitFaults:
    """What befalls commits, by chances that the world sets to nothing when its faults end. See `memory.Faults`."""

    def __init__(self, random: Random, befall: Callable[[Batch], Awaitable[Any]]) -> None:
        self._random = random
        self._befall = befall

    async def befall(self, batch: Batch) -> Any:
        return await self._befall(batch)

    def arrives(self, batch: Batch) -> bool:
        return self._random.random() < 0.5
