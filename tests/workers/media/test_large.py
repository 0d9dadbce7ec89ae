"""200 MiB up and down through one worker, directly and through another: memory does not grow with it."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from hs_workers.media.authed_content_repo import AuthedContentRepo
from hs_workers.media.content_repo import ContentRepo
from tests.common.http.served import serving
from tests.reactor import reactor
from tests.workers.media.conftest import Playing
from tests.workers.media.world import AUTHED, NAME, V3, World

SIZE = 200 << 20
PIECE = b"0123456789abcdef" * 8192
GROWTH_LIMIT = 50 << 20


def memory() -> int:
    """What this process holds, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Streaming(Protocol):
    """A client that makes up its body while it sends it, and drops the response's while it hashes it."""

    def __init__(self, head: bytes, body_size: int) -> None:
        self._head = head
        self._left = body_size
        self._received = b""
        self._length: int | None = None
        self.peak = 0
        self.hash = hashlib.sha256()
        self.head = b""
        self.start = b""
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self._head)
        if self._left:
            transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        transport: Any = self.transport
        transport.write(PIECE)
        self._left -= len(PIECE)
        self.peak = max(self.peak, memory())
        if self._left == 0:
            transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The connection has ended."""

    def dataReceived(self, data: bytes) -> None:
        self.peak = max(self.peak, memory())
        if self._length is None:
            self._received += data
            self.head, found, data = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            length = re.search(rb"content-length: (\d+)", self.head, re.IGNORECASE)
            assert length is not None, self.head
            self._length = int(length[1])
        self.hash.update(data)
        self.start += data[: 1000 - len(self.start)]
        self._length -= len(data)
        if self._length == 0:
            transport: Any = self.transport
            transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(None)


async def exchange(port: int, method: str, target: str, body_size: int = 0) -> Streaming:
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: {body_size}\r\n\r\n"
    )
    client = Streaming(head.encode(), body_size)
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), client)
    await client.done
    return client


async def up_and_down(port: int) -> int:
    """How much memory grew at most."""
    before = memory()
    up = await exchange(port, "POST", f"{V3}/upload", SIZE)
    found = re.search(rb'mxc://example.org/([\w-]+)"', up.start)
    assert found is not None, (up.head, up.start)
    down = await exchange(port, "GET", f"{AUTHED}/download/{NAME}/{found[1].decode()}")
    assert down.hash.digest() == hashlib.sha256(PIECE * (SIZE // len(PIECE))).digest()
    return max(up.peak, down.peak) - before


@pytest.mark.parametrize("through_another", [False, True], ids=["direct", "forwarded"])
def test_memory_does_not_grow_with_a_file(play: Playing, through_another: bool) -> None:
    async def scenario(world: World) -> None:
        if not through_another:
            assert await up_and_down(world.served.port) < GROWTH_LIMIT
            return
        elsewhere: dict[type, str] = {AuthedContentRepo: "media", ContentRepo: "media"}
        here = [("127.0.0.1", world.served.port)]
        async with serving(elsewhere=elsewhere, find_workers=lambda role: here) as wrong:
            assert await up_and_down(wrong.port) < GROWTH_LIMIT
            assert wrong.observed.forwarded == ["media", "media"]

    play(scenario, upload_bytes=SIZE, timeout=120.0)
