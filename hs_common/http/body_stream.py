"""The body of a request while it comes: pieces wait here until their reader has time for them.

Rules: what waits is bounded, by telling the connection to stop reading; there is one reader. How large a body may be is
the reader's to say, who counts what it gets. Nothing of HTTP is known here.
"""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

BUFFERED_BYTES: Final = 256 * 1024
"""With this much waiting the connection is not read: enough to keep a disk busy, little for each of many uploads."""


class BodyDiscarded(Exception):
    """The rest of the body will not be had: it was answered already, or the client has gone."""


class BodyStream:
    """`length` is the announced size in bytes, None for a chunked body. `pause` and `resume` are the connection's."""

    def __init__(self, length: int | None, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.length = length
        self.complete = False
        """Whether all of it has come; it may not have been read yet."""
        self._pause = pause
        self._resume = resume
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._discarded = False
        self._waiting: Deferred[None] | None = None

    # The connection's side

    def feed(self, data: bytes) -> None:
        """A piece has come."""
        if self._discarded:
            return
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered >= BUFFERED_BYTES and not self._paused:
            self._paused = True
            self._pause()
        self._wake()

    def end(self) -> None:
        """All has come."""
        self.complete = True
        self._wake()

    def discard(self) -> None:
        """Nobody wants the rest: it is read off the connection and dropped; whoever still reads gets BodyDiscarded."""
        self._discarded = True
        self._take()
        self._wake()

    # The reader's side

    async def read(self) -> bytes:
        """All that waits, at least one byte; empty at the end. Raises BodyDiscarded."""
        while not self._pieces and not self.complete and not self._discarded:
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if self._discarded:
            raise BodyDiscarded
        return self._take()

    def _take(self) -> bytes:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        if self._paused:
            self._paused = False
            self._resume()
        return data

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)
