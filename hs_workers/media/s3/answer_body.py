"""The body of an answer of the object store, read no faster than whoever wants it takes it.

Rules: what waits is bounded by telling the connection to stop; silence while somebody reads has a limit.
"""

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from hs_workers.media.blobs import StorageFailed

BUFFERED_BYTES: Final = 64 * 1024
"""With this much waiting the connection is not read: one read of a socket. 200 slow downloads hold some 40 MiB."""
SILENCE_LIMIT_S: Final = 30.0
"""A store that says nothing for so long is taken for broken, and asked again."""


class AnswerBody(Protocol):
    """Bytes as they come. `clock` is the reactor."""

    transport: Any

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._ended: Failure | None = None
        self._waiting: Deferred[None] | None = None

    async def read(self, size: int) -> bytes:
        """At most `size` bytes, at least one; empty at the end. Raises StorageFailed if it broke off."""
        while not self._pieces and self._ended is None:
            await self._more()
        if not self._pieces:
            assert self._ended is not None
            if self._ended.check(ResponseDone, PotentialDataLoss):
                return b""
            raise StorageFailed(f"the store broke off: {self._ended.getErrorMessage()}")
        return self._take(size)

    def close(self) -> None:
        """The rest is not wanted: the connection is cut, unless all has come."""
        if self._ended is None:
            self.transport.loseConnection()

    def _take(self, size: int) -> bytes:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = [data[size:]] if len(data) > size else []
        self._buffered = max(0, len(data) - size)
        if self._paused and self._buffered < BUFFERED_BYTES and self._ended is None:
            self._paused = False
            self.transport.resumeProducing()
        return data[:size]

    async def _more(self) -> None:
        self._waiting = Deferred()
        timer = self._clock.callLater(SILENCE_LIMIT_S, self.transport.loseConnection)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if timer.active():
                timer.cancel()

    def dataReceived(self, data: bytes) -> None:
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered >= BUFFERED_BYTES and not self._paused:
            self._paused = True
            self.transport.pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = reason
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)
