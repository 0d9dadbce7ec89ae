"""The body of a request while it comes: pieces wait here until their reader has time for them.

Rules: what waits is bounded, by telling the connection to stop reading; there is one reader. How large a body may be is
the reader's to say, who counts what it gets. Nothing of HTTP is known here.
"""

from collections import deque
from collections.abc import Callable, Sequence
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
        self.is_paused = False
        """Whether the connection was told to stop reading."""
        self._pause = pause
        self._resume = resume
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._discarded = False
        self._waiting: Deferred[None] | None = None

    # The connection's side

    def feed(self, pieces: Sequence[bytes], size: int) -> None:
        """Some have come, `size` bytes in all. Their reader takes them at once if it waits."""
        if self._discarded:
            return
        self._pieces.extend(pieces)
        self._buffered += size
        self._wake()
        if self._buffered >= BUFFERED_BYTES and not self.is_paused:
            self.is_paused = True
            self._pause()

    def end(self) -> None:
        """All has come."""
        self.complete = True
        self._wake()

    def discard(self) -> None:
        """Nobody wants the rest: it is read off the connection and dropped; whoever still reads gets BodyDiscarded."""
        self._discarded = True
        self._pieces.clear()
        self._took(self._buffered)
        self._wake()

    # The reader's side

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises BodyDiscarded."""
        if not self._pieces or self._discarded:
            await self._wait()
        if not self._pieces:
            return b""
        piece = self._pieces.popleft()
        self._took(len(piece))
        return piece

    async def read_pieces(self) -> Sequence[bytes]:
        """All that wait; none at the end. Raises BodyDiscarded."""
        if not self._pieces or self._discarded:
            await self._wait()
        pieces = list(self._pieces)
        self._pieces.clear()
        self._took(self._buffered)
        return pieces

    async def _wait(self) -> None:
        while not self._pieces and not self.complete and not self._discarded:
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if self._discarded:
            raise BodyDiscarded

    def _took(self, size: int) -> None:
        self._buffered -= size
        if self.is_paused and not self._pieces:
            self.is_paused = False
            self._resume()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)
