"""Writes the body of a request to the worker that it is passed on to, no faster than it is taken: from a file when it
is here already, or while it comes."""

from typing import Any, BinaryIO, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

PIECE_BYTES: Final = 64 * 1024
"""Read from a file at once: what a socket takes at once, more or less."""


class BodySource(Protocol):
    """A body while it comes. `length` is its size in bytes, None if that is not known."""

    length: int | None

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises if the rest will not be had."""


class BodyWriting(Protocol):
    """A body on its way to a worker."""

    is_finished: bool

    def stop(self) -> None:
        """The connection is cut; the rest is not wanted."""


@implementer(IPullProducer)
class FileWriting:
    """A body of that size in a file."""

    def __init__(self, content: BinaryIO, size_bytes: int, transport: Any) -> None:
        self._content = content
        self._left_bytes = size_bytes
        self._transport = transport
        self.is_finished = False
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """The worker has taken all so far."""
        piece = self._content.read(PIECE_BYTES)
        self._left_bytes -= len(piece)
        self._transport.write(piece)
        if self._left_bytes <= 0:
            self.stop()
            self.is_finished = True

    def stop(self) -> None:
        """Writes no more."""
        if not self.is_finished:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The connection has ended."""


@implementer(IPushProducer)
class StreamWriting:
    """A body that is still coming; chunked if its length is not known. Cuts the connection if the rest is not had."""

    def __init__(self, source: BodySource, transport: Any) -> None:
        self._source = source
        self._transport = transport
        self._resumed: Deferred[None] | None = None
        self.is_finished = False
        transport.registerProducer(self, True)
        self._work = Deferred.fromCoroutine(self._write())
        self._work.addErrback(lambda _: transport.abortConnection())

    async def _write(self) -> None:
        chunked = self._source.length is None
        while data := await self._source.read():
            self._transport.writeSequence((b"%x\r\n" % len(data), data, b"\r\n") if chunked else (data,))
            if self._resumed is not None:
                await self._resumed
        if chunked:
            self._transport.write(b"0\r\n\r\n")
        self.is_finished = True
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """The worker is slow."""
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:
        """The worker has taken all so far."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.called:
            resumed.callback(None)

    def stop(self) -> None:
        """Writes no more."""
        self._work.cancel()

    def stopProducing(self) -> None:
        """The connection has ended."""
        self.stop()
