"""The pool: a few connections to PostgreSQL, shared fairly, opened when first needed and again after a failure.

Rules: who asks first is served first; the queue and the wait are bounded, so a database that is away makes callers fail
with `DatabaseUnavailable` (an HTTP 503) and never pile up. No state is left on a connection (no SET, LISTEN, prepared
statement), so a transaction-mode pooler may stand between. Must not know what the statements mean.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg2.extensions
from twisted.internet.defer import Deferred

from hs_common.storage.connection import Connection, Reactor, rows, session_dsn
from hs_common.storage.queries import (
    CONNECTION_LOST,
    TOO_MANY_WAITING,
    Arguments,
    DatabaseError,
    DatabaseUnavailable,
    Queries,
    Row,
)

POOL_SIZE = 4  # a worker's most: fifty workers must fit below the server's max_connections
QUEUE_LIMIT = 1_000  # statements waiting for a connection; beyond, the database is far too slow to ever catch up
WAIT_LIMIT_S = 8.0  # a caller answers 503 within 10 s
RECONNECT_FIRST_S = 0.2
RECONNECT_LAST_S = 5.0

Observe = Callable[[str, float], None]


class Database:
    """The pool as `Queries`: each statement is its own transaction; `transaction()` joins several.

    `random` answers a number in [0, 1) (the jitter of reconnecting); `observe`, where given, is called with the SQL and
    the seconds of each statement, waiting for a connection not included.
    """

    def __init__(
        self,
        dsn: str,
        reactor: Reactor,
        random: Callable[[], float],
        *,
        size: int = POOL_SIZE,
        application_name: str = "viaduct",
        observe: Observe | None = None,
    ) -> None:
        self._dsn = session_dsn(dsn, application_name)
        self._reactor = reactor
        self._random = random
        self._size = size
        self._observe = observe
        self._idle: list[Connection] = []
        self._in_use: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[Deferred[Connection]] = deque()
        self._last_error = "not connected yet"
        self._handing_on = False
        self._closed = False

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        return rows(await self._run(sql, args))

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        return (await self._run(sql, args)).fetchone()

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        return (await self._run(sql, args)).rowcount

    @asynccontextmanager
    async def transaction(self, *, snapshot: bool = False) -> AsyncIterator[Queries]:
        """One transaction: committed when the block ends, rolled back when it raises.

        BEGIN travels with the first statement. `snapshot=True` reads all statements from one moment (REPEATABLE READ,
        read only). When COMMIT itself fails with DatabaseUnavailable the outcome is unknown.
        """
        connection = await self._acquire()
        transaction = _Transaction(connection, self._timed, snapshot)
        try:
            try:
                yield transaction
            except BaseException:
                await transaction.end("ROLLBACK")
                raise
            await transaction.end("COMMIT")
        finally:
            self._release(connection)

    async def close(self) -> None:
        """Closes every connection; statements under way and waiting fail with DatabaseUnavailable."""
        self._closed = True
        for connection in [*self._idle, *self._in_use]:
            connection.close()
        self._idle.clear()
        while self._waiting:
            self._waiting.popleft().errback(DatabaseUnavailable(CONNECTION_LOST, "the pool was closed"))

    async def _run(self, sql: str, args: Arguments) -> psycopg2.extensions.cursor:
        connection = await self._acquire()
        try:
            return await self._timed(connection, sql, args)
        finally:
            self._release(connection)

    async def _timed(self, connection: Connection, sql: str, args: Arguments) -> psycopg2.extensions.cursor:
        started = self._reactor.seconds()
        try:
            return await connection.run(sql, args)
        finally:
            if self._observe is not None:
                self._observe(sql, self._reactor.seconds() - started)

    # Who gets which connection.

    async def _acquire(self) -> Connection:
        if self._closed:
            raise DatabaseUnavailable(CONNECTION_LOST, "the pool was closed")
        if self._idle and not self._waiting:
            connection = self._idle.pop()  # the one used last: its caches are warm
            self._in_use.add(connection)
            return connection
        if len(self._waiting) >= QUEUE_LIMIT:
            raise DatabaseUnavailable(TOO_MANY_WAITING, f"{QUEUE_LIMIT} statements wait for the database already")
        waiting: Deferred[Connection] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        timer = self._reactor.callLater(WAIT_LIMIT_S, self._give_up, waiting)
        if len(self._idle) + len(self._in_use) + self._opening < self._size:
            self._opening += 1
            Deferred.fromCoroutine(self._open())
        try:
            return await waiting
        finally:
            if timer.active():
                timer.cancel()

    def _give_up(self, waiting: "Deferred[Connection]") -> None:
        self._waiting.remove(waiting)
        waiting.errback(
            DatabaseUnavailable(CONNECTION_LOST, f"no connection within {WAIT_LIMIT_S:g} s: {self._last_error}")
        )

    async def _open(self) -> None:
        """Tries until a connection is there or nobody waits for one any more; counted in `_opening` by the caller."""
        try:
            limit_s = RECONNECT_FIRST_S
            while self._waiting and not self._closed:
                try:
                    connection = await Connection.open(self._dsn, self._reactor)
                except DatabaseError as error:
                    self._last_error = error.message
                    await self._sleep(self._random() * limit_s)
                    limit_s = min(limit_s * 2, RECONNECT_LAST_S)
                else:
                    self._opened(connection)
                    return
        finally:
            self._opening -= 1

    def _sleep(self, seconds: float) -> "Deferred[None]":
        done: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, done.callback, None)
        return done

    def _opened(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
            return
        connection.on_close = lambda: self._forget(connection)
        self._last_error = "all connections are in use"
        self._release(connection)

    def _forget(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def _release(self, connection: Connection) -> None:
        self._in_use.discard(connection)
        if connection.closed:
            if self._waiting and not self._closed:
                self._opening += 1
                Deferred.fromCoroutine(self._open())
        elif self._closed:
            connection.close()
        else:
            self._idle.append(connection)
            self._hand_on()

    def _hand_on(self) -> None:
        """Gives idle connections to those who wait. One after the other: who fails before a statement was sent gives
        its connection back while it is called, and the next one called from there would be a level deeper each time."""
        if self._handing_on:
            return
        self._handing_on = True
        try:
            while self._waiting and self._idle:
                connection = self._idle.pop()
                self._in_use.add(connection)
                self._waiting.popleft().callback(connection)
        finally:
            self._handing_on = False


class _Transaction:
    """`Queries` on one connection, between BEGIN and the end."""

    def __init__(
        self,
        connection: Connection,
        run: Callable[[Connection, str, Arguments], Awaitable[psycopg2.extensions.cursor]],
        snapshot: bool,
    ) -> None:
        self._connection = connection
        self._timed = run
        self._begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; " if snapshot else "BEGIN; "
        self._begun = False

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        return rows(await self._run(sql, args))

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        return (await self._run(sql, args)).fetchone()

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        return (await self._run(sql, args)).rowcount

    async def end(self, statement: str) -> None:
        """COMMIT or ROLLBACK, if anything was begun. A ROLLBACK on a lost connection has happened already."""
        if not self._begun or (statement == "ROLLBACK" and self._connection.closed):
            return
        await self._connection.run(statement)

    async def _run(self, sql: str, args: Arguments) -> psycopg2.extensions.cursor:
        if not self._begun:
            self._begun = True
            sql = self._begin + sql
        return await self._timed(self._connection, sql, args)
