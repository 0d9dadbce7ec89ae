"""A server outside, on loopback, that says what a test tells it to, byte by byte; and a client that may reach it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import ssl
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from hs_common.config.egress import Egress
from hs_common.http.egress.client import EgressClient
from hs_common.http.egress.making import EgressParts, make_egress
from hs_common.http.egress.trust import Trust
from tests.certificates import CertificateFiles
from tests.reactor import reactor

Script = Callable[[bytes, "Talk"], None]
"""Told of each request (its bytes) and where to answer."""


def answer(body: bytes = b"{}", status: int = 200, *headers: str) -> bytes:
    """A plain answer."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Talk(Protocol):
    """One connection as the server sees it."""

    transport: Any

    def __init__(self, server: "OutsideServer") -> None:
        self.server = server
        self._buffer = b""

    def connectionMade(self) -> None:
        self.server.connections += 1
        self.server.open.add(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15] == b"Content-Length:"), 0)
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            request = head + b"\r\n\r\n" + rest[:length]
            self.server.requests.append(request)
            self.server.script(request, self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.server.open.discard(self)

    def write(self, data: bytes) -> None:
        self.transport.write(data)


@dataclass
class OutsideServer:
    """A listening server."""

    script: Script
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    open: set[Talk] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def outside(script: Script, files: CertificateFiles | None = None) -> AsyncIterator[OutsideServer]:
    """A server for one test; with a certificate it speaks TLS."""
    server = OutsideServer(script)
    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: Talk(server)  # type: ignore[method-assign]
    if files is None:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    else:
        options = ssl.DefaultOpenSSLContextFactory(str(files.key), str(files.certificate))
        port = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
    server.port = port.getHost().port
    try:
        yield server
    finally:
        await port.stopListening()
        for talk in list(server.open):
            talk.transport.abortConnection()


@dataclass
class Seen:
    """An observer that keeps what it is told."""

    outcomes: list[tuple[str, str]] = field(default_factory=list)

    def egress_finished(self, purpose: str, outcome: str, seconds: float) -> None:
        self.outcomes.append((purpose, outcome))


@asynccontextmanager
async def asking(
    *,
    allow: Sequence[str] = ("127.0.0.0/8",),
    names: dict[str, list[str]] | None = None,
    trust: Trust | None = None,
    seen: Seen | None = None,
) -> AsyncIterator[EgressClient]:
    """A client; `names` are all that it can resolve."""

    def lookup(name: str) -> list[str]:
        if name not in (names or {}):
            raise OSError("no such name")
        return (names or {})[name]

    parts: EgressParts = make_egress(
        reactor, Egress(allow=tuple(allow)), seen or Seen(), trust=trust or Trust(), lookup=lookup
    )
    try:
        yield parts.client
    finally:
        await parts.close()
