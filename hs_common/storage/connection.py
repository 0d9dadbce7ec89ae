"""One asynchronous PostgreSQL connection, driven by the reactor; below the pool and the master's writing session.

Rules: one statement (or one string of several statements) at a time; every error comes out as a `DatabaseError`; once
an error of the connection itself has been seen the connection is closed for good, and its owner opens another. A
statement that is cancelled or passes its deadline takes the connection with it: nobody waits for an unread answer.

The name of a host is looked up by libpq, blocking; that happens at connecting only. Must not know pools, transactions
or what the statements mean.
"""

import os
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import orjson
import psycopg2
import psycopg2.extensions
import psycopg2.extras
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from hs_common.storage.arrays import with_literals
from hs_common.storage.queries import (
    CONNECTION_LOST,
    ENCODING_REFUSED,
    Arguments,
    DatabaseError,
    DatabaseUnavailable,
    Row,
    error_for,
)

_T = TypeVar("_T")

NO_DESCRIPTOR = -1  # what a reactor expects of a closed one
CONNECT_TIMEOUT_S = 5.0  # a host that is away is noticed before a caller's 8 s are over
STATEMENT_DEADLINE_S = 35.0  # the server's own statement_timeout (30 s) speaks first, unless the network is dead

# Both ends notice a dead peer within about 10 s; PostgreSQL's defaults would take more than two hours.
_CLIENT_SETTINGS: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 9000,
    "client_encoding": "utf8",
}
_SERVER_SETTINGS = {
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "9000",
    "client_connection_check_interval": "1s",  # a query whose asker died ends
    "idle_in_transaction_session_timeout": "5s",  # a frozen process does not hold its locks
    "lock_timeout": "1s",
    "statement_timeout": "30s",  # does not cover COMMIT
    "jit": "off",  # small statements only: compiling costs more than it gives
}


class Timer(Protocol):
    """A call that will be made later."""

    def active(self) -> bool: ...
    def cancel(self) -> None: ...


class Reactor(Protocol):
    """What is used of a reactor: the clock and the watching of file descriptors."""

    def seconds(self) -> float: ...
    def callLater(self, delay: float, call: Callable[..., object], *args: object) -> Timer: ...
    def addReader(self, reader: IReadWriteDescriptor) -> None: ...
    def addWriter(self, writer: IReadWriteDescriptor) -> None: ...
    def removeReader(self, reader: IReadWriteDescriptor) -> None: ...
    def removeWriter(self, writer: IReadWriteDescriptor) -> None: ...


def session_dsn(dsn: str, application_name: str, **settings: str) -> str:
    """`dsn` with the timeouts and keepalives that every connection of ours has; `settings` of the server go above them.

    The settings travel in the start-up packet (`options`), not as SET, so that a transaction-mode pooler may stand
    between; what the operator wrote into the DSN's own `options` stays, and wins.
    """
    given = psycopg2.extensions.parse_dsn(dsn)
    options = " ".join(f"-c {name}={value}" for name, value in {**_SERVER_SETTINGS, **settings}.items())
    if given.get("options"):
        options = f"{options} {given['options']}"
    defaults = {name: value for name, value in _CLIENT_SETTINGS.items() if name not in given}
    return str(
        psycopg2.extensions.make_dsn(
            dsn, **defaults, **{"application_name": application_name, **_named(given), "options": options}
        )
    )


def _named(given: dict[str, str]) -> dict[str, str]:
    return {name: given[name] for name in ("application_name",) if name in given}


def _bytea(value: str | bytes | None, _cursor: object) -> bytes | None:
    return None if value is None else bytes.fromhex(cast(str, value)[2:])


_BYTEA = psycopg2.extensions.new_type((17,), "BYTEA", _bytea)
_BYTEA_ARRAY = psycopg2.extensions.new_array_type((1001,), "BYTEA[]", _BYTEA)


def typed_error(error: BaseException) -> DatabaseError:
    """psycopg2's exception as one of ours; without an SQLSTATE it is the connection that failed."""
    if isinstance(error, DatabaseError):
        return error
    if isinstance(error, UnicodeEncodeError | ValueError):
        return error_for(ENCODING_REFUSED, str(error))  # a lone surrogate or a NUL never leaves this process
    code = getattr(error, "pgcode", None)
    if code is None and isinstance(error, psycopg2.ProgrammingError):
        return DatabaseError("42000", str(error))  # placeholders that do not fit the arguments
    diagnosis = getattr(error, "diag", None)
    return error_for(code or CONNECTION_LOST, str(error), getattr(diagnosis, "constraint_name", None))


def rows(cursor: psycopg2.extensions.cursor) -> list[Row]:
    """Every row of a result; none for a statement that has no result."""
    return cursor.fetchall() if cursor.description is not None else []


@implementer(IReadWriteDescriptor)
class Connection:
    """An open connection, and `Queries` on it. Make one with `await Connection.open(dsn, reactor)`."""

    def __init__(self, dsn: str, reactor: Reactor) -> None:
        self._reactor = reactor
        self._raw = psycopg2.connect(dsn, async_=True)
        self._fd = NO_DESCRIPTOR
        self._cursor: psycopg2.extensions.cursor | None = None
        self._waiting: Deferred[psycopg2.extensions.cursor | None] | None = None
        self.closed = False
        self.on_close: Callable[[], None] | None = None
        """Called once, when the connection has ended for any reason but `close()`."""

    @classmethod
    async def open(cls, dsn: str, reactor: Reactor) -> "Connection":
        """Connects, within `CONNECT_TIMEOUT_S`. Raises DatabaseUnavailable, also for a password or database refused."""
        try:
            connection = cls(dsn, reactor)
        except psycopg2.Error as error:
            raise _connecting_failed(error) from None
        try:
            await connection._wait(CONNECT_TIMEOUT_S)
        except DatabaseError as error:
            raise _connecting_failed(error) from None
        psycopg2.extensions.register_type(_BYTEA, connection._raw)
        psycopg2.extensions.register_type(_BYTEA_ARRAY, connection._raw)
        psycopg2.extras.register_default_jsonb(connection._raw, loads=orjson.loads)
        return connection

    @property
    def backend_pid(self) -> int:
        """The process that serves this connection, as the server calls it."""
        return int(self._raw.info.backend_pid)

    async def run(
        self, sql: str, args: Arguments = (), deadline_s: float | None = STATEMENT_DEADLINE_S
    ) -> psycopg2.extensions.cursor:
        """Sends `sql` in one round trip and answers the cursor with the result of its last statement.

        Raises DatabaseError. Past `deadline_s` (None: no limit) the connection closes: DatabaseUnavailable.
        """
        assert self._waiting is None, "one statement at a time on a connection"
        if self.closed:
            raise DatabaseUnavailable(CONNECTION_LOST, "the connection is closed")
        del self._raw.notices[:]
        try:
            self._cursor = self._raw.cursor()
            self._cursor.execute(sql, with_literals(args) if args else None)
        except (psycopg2.Error, ValueError) as error:
            if self._raw.closed:
                self._lost(typed_error(error))
            raise typed_error(error) from None
        cursor = await self._wait(deadline_s)
        assert cursor is not None
        return cursor

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        return rows(await self.run(sql, args))

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        return (await self.run(sql, args)).fetchone()

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        return (await self.run(sql, args)).rowcount

    def read_notices(self) -> list[str]:
        """What the server said beside the result of the last `run`, as `WARNING:  …`."""
        if not self.closed:
            self._advance()  # psycopg2 hands out what arrived together with the result at the next look only
        return list(self._raw.notices)

    def close(self) -> None:
        """Ends the connection at once; a statement under way fails with DatabaseUnavailable."""
        self.on_close = None
        self._lost(DatabaseUnavailable(CONNECTION_LOST, "the connection was closed"))

    # The reactor's side.

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "postgres"

    def doRead(self) -> None:
        self._advance()

    def doWrite(self) -> None:
        self._advance()

    def connectionLost(self, reason: Failure) -> None:
        self._lost(DatabaseUnavailable(CONNECTION_LOST, str(reason.value)))

    def _wait(self, deadline_s: float | None) -> "Deferred[psycopg2.extensions.cursor | None]":
        waiting: Deferred[psycopg2.extensions.cursor | None] = Deferred(self._cancelled)
        self._waiting = waiting
        if deadline_s is not None:
            timer = self._reactor.callLater(deadline_s, self._abandon, f"no answer within {deadline_s:g} s")

            def stop(result: _T) -> _T:
                if timer.active():
                    timer.cancel()
                return result

            waiting.addBoth(stop)
        self._advance()
        return waiting

    def _cancelled(self, _waiting: object) -> None:
        self._waiting = None  # Deferred.cancel itself raises CancelledError in whoever awaits
        self._abandon("cancelled")

    def _abandon(self, why: str) -> None:
        self._lost(DatabaseUnavailable(CONNECTION_LOST, why))

    def _advance(self) -> None:
        """Lets libpq go on as far as it can, and asks the reactor for what it then waits for."""
        if self.closed:
            return
        if self._raw.status != psycopg2.extensions.STATUS_READY:
            self._unwatch()  # while connecting, libpq may go on with another socket: the next address of the host
        try:
            state = self._raw.poll()
        except psycopg2.Error as error:
            self._failed(error)
            return
        if state == psycopg2.extensions.POLL_OK:
            self._watch(writing=False)
            self._succeeded()
        else:
            self._watch(writing=state == psycopg2.extensions.POLL_WRITE)

    def _watch(self, writing: bool) -> None:
        if self._fd == NO_DESCRIPTOR:
            # Our own copy: libpq closes its descriptor when it sees fit, and a reactor must never meet a closed one.
            self._fd = os.dup(self._raw.fileno())
        descriptor = cast(IReadWriteDescriptor, self)
        self._reactor.addReader(descriptor)  # idle too: a server that goes away is noticed at once
        if writing:
            self._reactor.addWriter(descriptor)
        else:
            self._reactor.removeWriter(descriptor)

    def _unwatch(self) -> None:
        if self._fd == NO_DESCRIPTOR:
            return
        descriptor = cast(IReadWriteDescriptor, self)
        self._reactor.removeReader(descriptor)
        self._reactor.removeWriter(descriptor)
        os.close(self._fd)
        self._fd = NO_DESCRIPTOR

    def _succeeded(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting, cursor, self._cursor = self._waiting, None, self._cursor, None
            waiting.callback(cursor)

    def _failed(self, error: psycopg2.Error) -> None:
        typed = typed_error(error)
        if self._raw.closed or self._raw.status != psycopg2.extensions.STATUS_READY or self._waiting is None:
            self._lost(typed)
            return
        self._watch(writing=False)
        waiting, self._waiting, self._cursor = self._waiting, None, None
        waiting.errback(typed)

    def _lost(self, error: DatabaseError) -> None:
        if self.closed:
            return
        self.closed = True
        self._unwatch()
        self._raw.close()
        waiting, self._waiting, self._cursor = self._waiting, None, None
        if waiting is not None:
            waiting.errback(error if isinstance(error, DatabaseUnavailable) else _connection_ended(error))
        if self.on_close is not None:
            self.on_close()


def _connection_ended(error: DatabaseError) -> DatabaseUnavailable:
    return DatabaseUnavailable(error.sqlstate, error.message)


def _connecting_failed(error: BaseException) -> DatabaseUnavailable:
    typed = typed_error(error)
    return DatabaseUnavailable(typed.sqlstate, f"cannot connect to PostgreSQL: {typed.message}")
