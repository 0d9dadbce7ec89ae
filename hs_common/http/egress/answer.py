"""An answer while it comes: status and headers are here, the body is read piece by piece.

Rules: what waits to be read is bounded, by telling the connection to stop; the whole is bounded by the limit it was
asked with. Who does not read to the end closes it. Nothing of sockets is known here.
"""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from hs_common.http.egress.failures import AnswerTooLarge, EgressError
from hs_common.http.response_reader import ResponseHead

BUFFERED_BYTES: Final = 256 * 1024
"""With this much waiting the connection is not read."""


class Answer:
    """`pause` and `resume` are the connection's, `cut` ends it."""

    def __init__(
        self, head: ResponseHead, limit_bytes: int, flow: Callable[[bool], None], cut: Callable[[], None]
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self.length = head.length
        """As announced; None if it is not known before the end."""
        self.received_bytes = 0
        self._limit_bytes = limit_bytes
        self._flow = flow
        self._cut = cut
        self._pieces: list[bytes] = []
        self._buffered = 0
        self.is_paused = False
        self._complete = False
        self._failure: EgressError | None = None
        self._waiting: Deferred[None] | None = None
        if head.length is not None and head.length > limit_bytes:
            self.fail(AnswerTooLarge(f"the answer has {head.length} bytes"))

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        wanted = name.lower().encode("ascii")
        for key, value in self.headers:
            if key.lower() == wanted:
                return value.strip().decode("latin-1")
        return None

    # The reader's side

    async def read(self) -> bytes:
        """All that waits, at least one byte; empty at the end. Raises EgressError."""
        while not self._pieces and not self._complete:
            if self._failure is not None:
                raise self._failure
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        if self.is_paused:
            self.is_paused = False
            self._flow(True)
        return data

    async def read_all(self) -> bytes:
        """The whole body. Raises EgressError; the connection is given back or cut then."""
        pieces = []
        try:
            while piece := await self.read():
                pieces.append(piece)
        finally:
            self.close()
        return b"".join(pieces)

    def close(self) -> None:
        """No more will be read: if there is more, the connection is cut."""
        if not self._complete and self._failure is None:
            self.fail(EgressError("the answer was closed"))

    # The connection's side

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected."""
        return self._complete or self._failure is not None

    def feed(self, data: bytes) -> None:
        """A piece has come."""
        if self.is_over or not data:
            return
        self.received_bytes += len(data)
        if self.received_bytes > self._limit_bytes:
            self.fail(AnswerTooLarge(f"the answer has more than {self._limit_bytes} bytes"))
            return
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered >= BUFFERED_BYTES and not self.is_paused:
            self.is_paused = True
            self._flow(False)
        self._wake()

    def end(self) -> None:
        """All has come."""
        self.is_paused = False
        if not self.is_over:
            self._complete = True
            self._wake()

    def fail(self, error: EgressError) -> None:
        """The rest will not be had."""
        if self.is_over:
            return
        self._failure = error
        self._pieces.clear()
        self._cut()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)
