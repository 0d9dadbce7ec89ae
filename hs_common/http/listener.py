"""Accepts connections, and ends them gently.

A thin layer over twisted.web's HTTP/1.1 channel: a reverse proxy speaks everything newer, and TLS.
"""

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from hs_common.http.exchange import Exchange
from hs_common.http.reception import Reception

IDLE_TIMEOUT_S: Final = 75.0
"""Longer than reverse proxies keep their side open (usually 60 s), so that the proxy closes first and never sends a
request into a connection that is just being closed. Also what a client has for each piece of a slow body."""

CONNECTIONS_LIMIT: Final = 10_000
"""Long polls hold one each; beyond, the process would run out of file descriptors where they are needed more."""


class Channel(HTTPChannel):
    """A connection with its reception; knows the listener's other connections only to leave them."""

    requestFactory: Any = Exchange
    timeOut: Any
    callLater: Any
    _command: Any
    _path: Any
    _version: Any
    transport: Any
    _peer: IAddress
    _host: IAddress
    reception: Reception
    listener: "Listener"

    def request_line(self) -> tuple[bytes, bytes, bytes]:
        """Method, target and version of the request whose headers were just read."""
        return self._command, self._path, self._version

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        # Asked for each request, and the host of the system each time.
        self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        self.listener.channels.add(self)

    def getPeer(self) -> IAddress:
        """Where the other end is."""
        return self._peer

    def getHost(self) -> IAddress:
        """Where this end is."""
        return self._host

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.listener.left(self)


class Listener(ServerFactory):
    """The factory of a listening port. `clock` is the reactor, or a test's clock."""

    noisy = False

    def __init__(
        self,
        reception: Reception,
        clock: Any,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        connections_limit: int = CONNECTIONS_LIMIT,
    ) -> None:
        self._reception = reception
        self._clock = clock
        self._idle_timeout_s = idle_timeout_s
        self._connections_limit = connections_limit
        self.channels: set[Channel] = set()
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:
        if len(self.channels) >= self._connections_limit:
            return None  # closes it at once
        channel = Channel()  # type: ignore[no-untyped-call]
        channel.reception = self._reception
        channel.listener = self
        channel.timeOut = self._idle_timeout_s
        channel.callLater = self._clock.callLater
        return channel

    def left(self, channel: Channel) -> None:
        """A connection has ended."""
        self.channels.discard(channel)
        if not self.channels and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def announce_end(self) -> None:
        """From now on each answer closes its connection, so that clients and proxies move elsewhere."""
        self._reception.draining = True

    async def drained(self, limit_s: float) -> None:
        """Closes connections that wait for a request, and waits until the others have their answers; after the limit
        these are closed too. Call it when nothing is accepted any more."""
        self.announce_end()
        for channel in list(self.channels):
            if not channel.requests:
                channel.loseConnection()  # type: ignore[no-untyped-call]
        if not self.channels:
            return
        self._empty = Deferred()
        cut = self._clock.callLater(limit_s, self._cut)
        await self._empty
        if cut.active():
            cut.cancel()

    def _cut(self) -> None:
        for channel in list(self.channels):
            channel.forceAbortClient()  # type: ignore[no-untyped-call]
