"""A TCP proxy before PostgreSQL that cuts the connection at the boundary of a commit, as networks do.

It waits for a message that holds the word COMMIT after a given number of those was let through.
"""

from enum import Enum, auto
from typing import Any

import psycopg2.extensions
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.reactor import reactor


class Cut(Enum):
    """Where the connection breaks."""

    NEVER = auto()
    BEFORE_THE_REQUEST = auto()  # PostgreSQL never sees the batch
    IN_THE_REQUEST = auto()  # it sees half of it
    BEFORE_THE_REPLY = auto()  # it commits, and nobody hears of it
    REQUEST_IS_LATE = auto()  # it is kept back until `deliver_late`, and the server does not learn that the client left
    REPLY_NEVER_COMES = auto()  # the connection stays, silent


class PostgresProxy:
    """`await PostgresProxy.start(url)`; `url` of it goes through the proxy. `cut` is applied to the next commits."""

    def __init__(self, url: str) -> None:
        self._target = psycopg2.extensions.parse_dsn(url)
        self.cut = Cut.NEVER
        self.links: list[_ClientSide] = []
        self._port: Any = None
        self._number = 0

    @classmethod
    async def start(cls, url: str) -> "PostgresProxy":
        proxy = cls(url)
        await proxy._listen(0)
        return proxy

    async def listen_again(self) -> None:
        """After `stop`, at the same address."""
        await self._listen(self._number)

    async def _listen(self, port: int) -> None:
        factory = Factory.forProtocol(lambda: _ClientSide(self))
        self._port = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(factory)
        self._number = self._port.getHost().port

    @property
    def url(self) -> str:
        place = {"host": "127.0.0.1", "port": str(self._number)}
        return str(psycopg2.extensions.make_dsn("", **{**self._target, **place}))

    def deliver_late(self) -> None:
        """What was kept back reaches the server, if that still listens."""
        for link in self.links:
            for data in link.late:
                assert link.server is not None
                link.server.send(data)

    def server(self) -> Any:
        host, port = self._target["host"], int(self._target.get("port", 5432))
        if host.startswith("/"):
            return UNIXClientEndpoint(reactor, f"{host}/.s.PGSQL.{port}")
        return TCP4ClientEndpoint(reactor, host, port)

    async def stop(self) -> None:
        assert self._port is not None
        await self._port.stopListening()
        for link in self.links:
            link.break_both()


class _ClientSide(Protocol):
    transport: Any  # twisted's interfaces are not types

    def __init__(self, proxy: PostgresProxy) -> None:
        self.proxy = proxy
        self.early: list[bytes] = []
        self.server: _ServerSide | None = None
        self.late: list[bytes] = []
        proxy.links.append(self)

    def connectionMade(self) -> None:
        Deferred.fromCoroutine(self._connect())

    async def _connect(self) -> None:
        server = await connectProtocol(self.proxy.server(), _ServerSide(self))
        self.server = server
        for data in self.early:
            self.dataReceived(data)

    def dataReceived(self, data: bytes) -> None:
        if self.server is None:
            self.early.append(data)
            return
        cut = self.proxy.cut if b"COMMIT" in data else Cut.NEVER
        if cut is Cut.BEFORE_THE_REQUEST:
            self.break_both()
        elif cut is Cut.IN_THE_REQUEST:
            self.server.send(data[: len(data) // 2])
            self.break_both()
        elif cut is Cut.REQUEST_IS_LATE or self.late:
            self.late.append(data)
        else:
            self.server.cut = cut
            self.server.send(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.server is not None and not self.late:
            self.server.close()

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def break_both(self) -> None:
        for side in (self, self.server):
            if side is not None and side.transport is not None:
                side.transport.abortConnection()


class _ServerSide(Protocol):
    transport: Any

    def __init__(self, client: _ClientSide) -> None:
        self.client = client
        self.cut = Cut.NEVER

    def dataReceived(self, data: bytes) -> None:
        if self.cut is Cut.NEVER:
            self.client.send(data)
        elif b"COMMIT\0" in data and self.cut is Cut.BEFORE_THE_REPLY:
            self.client.break_both()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.client.transport is not None:
            self.client.transport.loseConnection()

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def close(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
