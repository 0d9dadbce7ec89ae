"""Sends a response whose body is read while it is sent, as fast as the client takes it.

Rules: one piece is held at a time; a client that takes nothing for long is cut off; a source that fails, or ends before
the announced length, breaks the connection, so that nobody keeps half an answer for a whole one. Not known here: where
bytes come from.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

PIECE_BYTES: Final = 128 * 1024
"""A piece costs the same whatever its size; 200 slow clients hold 25 MiB."""
TURN_BYTES: Final = 4 * PIECE_BYTES
"""After so much to a client that takes all of it at once others have a turn of the reactor."""
STALL_LIMIT_S: Final = 75.0
"""As long as a client may leave a body that it sends lying."""


class ByteSource(Protocol):
    """Bytes in order."""

    async def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty only at the end."""

    def close(self) -> None:
        """No more will be read. Called once, also when not all was read."""


class Consumer(Protocol):
    """Where the bytes go, as twisted.web has it."""

    def write(self, data: bytes) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...


class SourceEnded(Exception):
    """The source has fewer bytes than were announced."""


@implementer(IPushProducer)
class Sending:
    """One body on its way. `call_later` is the reactor's, `abort` ends the connection."""

    def __init__(self, consumer: Consumer, call_later: Callable[..., Any], abort: Callable[[], None]) -> None:
        self._consumer = consumer
        self._call_later = call_later
        self._abort = abort
        self._resumed: Deferred[None] | None = None

    async def send(self, source: ByteSource, length: int | None) -> None:
        """Sends `length` bytes of the source, all of it without a length, and closes it, whatever happens."""
        self._consumer.registerProducer(self, True)  # type: ignore[arg-type] # zope's interfaces are no types
        try:
            await (self._send_all(source) if length is None else self._send_bytes(source, length))
        finally:
            self._consumer.unregisterProducer()
            source.close()

    async def _send_bytes(self, source: ByteSource, length: int) -> None:
        at_once = 0
        while length > 0:
            if self._resumed is not None:
                await self._until_taken()
                at_once = 0
            elif at_once >= TURN_BYTES:
                await self._turn()
                at_once = 0
            data = await source.read(min(length, PIECE_BYTES))
            if not data:
                raise SourceEnded(f"{length} bytes are missing")
            length -= len(data)
            at_once += len(data)
            self._consumer.write(data)

    def _turn(self) -> Deferred[None]:
        turn: Deferred[None] = Deferred()
        self._call_later(0, turn.callback, None)
        return turn

    async def _send_all(self, source: ByteSource) -> None:
        while data := await source.read(PIECE_BYTES):
            self._consumer.write(data)
            await self._until_taken()

    async def _until_taken(self) -> None:
        if self._resumed is None:
            return
        timer = self._call_later(STALL_LIMIT_S, self._abort)
        try:
            await self._resumed
        finally:
            if timer.active():
                timer.cancel()

    # What the connection calls

    def pauseProducing(self) -> None:
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.called:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """The connection has ended; whoever sends is told by the request."""
