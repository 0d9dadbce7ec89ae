"""Endpoints served on a real loopback port, and a client that says what it wants down to the byte."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from hs_common.http.authentication import Authenticator
from hs_common.http.dispatcher import Dispatcher, ReadBarrier
from hs_common.http.endpoint import declarations_of
from hs_common.http.forwarding import Forwarder
from hs_common.http.listener import Listener
from hs_common.http.rate_limits import RateLimits
from hs_common.http.reception import FinishedRequest, Reception
from hs_common.http.relay_lane import RelayLane
from hs_common.http.router import Router
from hs_common.http.server_calls import ServerAuthenticator
from tests.common.http.accounts import Accounts
from tests.reactor import reactor

ROLE = "client"
BACKLOG = 1024  # some tests open hundreds of connections at once, as a real port takes them


@dataclass
class Fronts:
    """What the front doors of the test that runs are like."""

    have_lane: bool = True


FRONTS = Fronts()


@dataclass
class Observed:
    """An observer that keeps what it is told."""

    started: int = 0
    finished: list[FinishedRequest] = field(default_factory=list)
    forwarded: list[str] = field(default_factory=list)

    def request_started(self) -> None:
        self.started += 1

    def request_finished(self, request: FinishedRequest) -> None:
        self.finished.append(request)

    def request_forwarded(self, role: str) -> None:
        self.forwarded.append(role)


@dataclass
class Served:
    """A listening port and all that belongs to it."""

    port: int
    accounts: Accounts
    observed: Observed
    reception: Reception
    listener: Listener
    stop_listening: Callable[[], Any]

    async def raw(self, request: bytes) -> "Answer":
        """Sends bytes, and reads one response (or the end of the connection)."""
        connection = await self.connect()
        connection.write(request)
        try:
            return await connection.answer()
        finally:
            await connection.close()

    async def connect(self) -> "Connection":
        """A connection of its own."""
        connection = Connection()
        await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", self.port), connection)
        return connection

    async def ask(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> "Answer":
        """A well-formed request."""
        return await self.raw(compose(method, target, body, headers))


@asynccontextmanager
async def serving(
    *endpoints: object,
    elsewhere: dict[type, str] | None = None,
    limits: RateLimits | None = None,
    barrier: ReadBarrier | None = None,
    find_workers: Callable[[str], list[tuple[str, int]]] | None = None,
    look_again: Callable[[], Awaitable[None]] | None = None,
    trusted: Callable[[str], bool] = lambda address: False,
    connections_limit: int = 1000,
    servers: ServerAuthenticator | None = None,
) -> AsyncIterator[Served]:
    """Serves the endpoints on a port of 127.0.0.1 until the block ends; checks that no connection is left behind. Who
    has none and passes all on is a front door, with its quick lane if `FRONTS` says so."""
    router = Router()
    for instance in endpoints:
        router.add(instance, ROLE)
    for cls, role in (elsewhere or {}).items():
        for _, declaration in declarations_of(cls):
            router.declare(declaration, role)
    accounts, observed = Accounts(), Observed()
    authenticator = Authenticator(accounts, lambda: 1_000_000, lambda: True)
    forwarder = None if find_workers is None else Forwarder(reactor, find_workers, look_again)
    reception = Reception(
        router=router,
        dispatcher=Dispatcher(
            authenticator, limits if limits is not None else RateLimits({}, reactor.seconds), barrier, servers=servers
        ),
        observer=observed,
        monotonic=reactor.seconds,
        date=lambda: "Thu, 01 Jan 1970 00:00:00 GMT",
        new_request_id=iter(f"request-{number}" for number in range(1, 1_000_000)).__next__,
        is_trusted=trusted,
        forwarder=forwarder,
    )
    if forwarder is not None and not endpoints and FRONTS.have_lane:
        reception.lane = RelayLane(reception, forwarder)
    listener = Listener(reception, reactor, connections_limit=connections_limit)
    port = reactor.listenTCP(0, listener, backlog=BACKLOG, interface="127.0.0.1")
    try:
        yield Served(port.getHost().port, accounts, observed, reception, listener, port.stopListening)
    finally:
        await port.stopListening()
        if forwarder is not None:
            await forwarder.close()
        await listener.drained(1.0)


@dataclass(frozen=True)
class Answer:
    """A response as it came. Status 0: the connection ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes
    after: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def errcode(self) -> str:
        return str(self.json["errcode"])


def compose(method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a request."""
    lines = {"Host": "example.org", **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("utf-8") + b"\r\n" + body


class Connection(Protocol):
    """A client's side of a connection, reading one response after the other."""

    def __init__(self) -> None:
        self._buffer = b""
        self._ended = False
        self._more: Deferred[None] | None = None

    def write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def abort(self) -> None:
        """Goes away without a word."""
        transport: Any = self.transport
        transport.abortConnection()

    async def close(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()
        await self.ended()

    async def ended(self) -> None:
        """Waits until the connection has ended."""
        while not self._ended:
            await self._next()

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None:
            more, self._more = self._more, None
            more.callback(None)

    async def _next(self) -> None:
        self._more = Deferred()
        await self._more

    async def head(self) -> None:
        """Waits for the head of a response."""
        while b"\r\n\r\n" not in self._buffer and not self._ended:
            await self._next()

    async def answer(self, head_only: bool = False) -> Answer:
        """The next response: by Content-Length, by chunks, or to the end of the connection."""
        while b"\r\n\r\n" not in self._buffer:
            if self._ended:
                return Answer(0, {}, self._buffer, b"")
            await self._next()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        self._buffer = rest
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        status = int(lines[0].split(" ")[1])
        body = b"" if head_only or status == 204 else await self._body(headers)
        return Answer(status, headers, body, self._buffer)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while chunk := await self._take(int(await self._line(), 16)):
                body += chunk
                await self._line()
            await self._line()
            return body
        return await self._take(int(headers.get("content-length", "0")))

    async def _line(self) -> bytes:
        while b"\r\n" not in self._buffer and not self._ended:
            await self._next()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size and not self._ended:
            await self._next()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken
