"""A connection to Redis on the reactor: commands out, replies in, in order.

Rules: every failure of the connection fails every reply that is waited for; nothing is repeated here. Understands URLs
`redis://`, `rediss://` (TLS) and `unix://` with user, password and database. Sentinel is not supported. Must not know
what the commands are for.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from hs_common.http.write_now import write_now
from hs_common.replication.clock import Clock
from hs_common.replication.redis_url import RedisPlace, parse_redis_url

CONNECT_SECONDS = 3.0  # to reach Redis and to be let in

Argument = bytes | str | int


class RedisAway(Exception):
    """Redis cannot be reached, or the connection ended before the reply."""


class RedisRefused(Exception):
    """Redis answered with an error; the text is its own."""


class RedisConnection(Protocol):
    """One connection. `lost` is called once when it ends."""

    def __init__(self) -> None:
        self.is_open = False
        self._reader = hiredis.Reader()
        self._waiting: deque[Deferred[Any]] = deque()
        self._on_lost: list[Callable[[], None]] = []

    def connectionMade(self) -> None:
        """Called by Twisted."""
        self.is_open = True

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted: hands each complete reply to who waits for it."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._answer(reply)
        except (hiredis.ProtocolError, IndexError):
            self.abort()  # not Redis, or not in step any more

    def _answer(self, reply: Any) -> None:
        deferred = self._waiting.popleft()
        if deferred.called:
            return  # who waited gave up
        if isinstance(reply, hiredis.ReplyError):
            deferred.errback(RedisRefused(str(reply)))
        else:
            deferred.callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted."""
        self.is_open = False
        waiting, self._waiting = self._waiting, deque()
        for deferred in waiting:
            if not deferred.called:
                deferred.errback(RedisAway(reason.getErrorMessage()))
        for call in self._on_lost:
            call()

    def when_lost(self, call: Callable[[], None]) -> None:
        """`call()` when the connection ends."""
        self._on_lost.append(call)

    def send(self, *arguments: Argument) -> Deferred[Any]:
        """Writes a command; the Deferred gives its reply, or RedisRefused, or RedisAway."""
        deferred: Deferred[Any] = Deferred()
        if not self.is_open:
            deferred.errback(RedisAway("the connection is closed"))
            return deferred
        self._waiting.append(deferred)
        write_now(self.transport, hiredis.pack_command(cast(Any, arguments)))
        return deferred

    def close(self) -> None:
        """Ends the connection once what was written is sent."""
        if self.transport is not None:
            cast(Any, self.transport).loseConnection()

    def abort(self) -> None:
        """Ends the connection now."""
        if self.transport is not None:
            cast(Any, self.transport).abortConnection()


class RedisServer:
    """Where Redis is: opens connections. `reactor` is Twisted's."""

    def __init__(self, reactor: Any, url: str) -> None:
        """Raises ValueError for a URL of another kind."""
        place = parse_redis_url(url)
        self.clock: Clock = reactor
        self._endpoint = _endpoint(reactor, place)
        self._user = place.user
        self._password = place.password
        self._database = place.database

    async def connect(self) -> RedisConnection:
        """A connection that is let in, with its database chosen. Raises RedisAway or RedisRefused."""
        connecting = self._endpoint.connect(Factory.forProtocol(RedisConnection))
        timer = self.clock.callLater(CONNECT_SECONDS, connecting.cancel)
        try:
            connection = cast(RedisConnection, await connecting)
        except Exception as error:
            raise RedisAway(str(error) or type(error).__name__) from error
        finally:
            if timer.active():
                timer.cancel()
        await self._enter(connection)
        return connection

    async def _enter(self, connection: RedisConnection) -> None:
        timer = self.clock.callLater(CONNECT_SECONDS, connection.abort)
        try:
            if self._password is not None:
                credentials = [self._password] if self._user is None else [self._user, self._password]
                await connection.send("AUTH", *credentials)
            if self._database:
                await connection.send("SELECT", self._database)
        except RedisRefused:
            connection.abort()
            raise
        finally:
            if timer.active():
                timer.cancel()


def _endpoint(reactor: Any, place: RedisPlace) -> Any:
    """The endpoint (IStreamClientEndpoint) that a URL names."""
    if place.socket_path:
        return UNIXClientEndpoint(reactor, place.socket_path)
    tcp: Any = HostnameEndpoint(reactor, place.host, place.port)
    return wrapClientTLS(ssl.optionsForClientTLS(place.host), tcp) if place.tls else tcp
