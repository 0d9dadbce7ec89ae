"""A Twisted protocol that speaks frames: reads them, and writes all frames of one reactor turn at once.

Both ends of the link build on it. Rule: whatever goes wrong with what the other side says ends this connection, and
nothing else. Must not know what frames mean.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from hs_common.http.write_now import write_now
from hs_common.replication.clock import Clock
from hs_common.replication.frames import BrokenFrame, Frame, FrameReader, encode_frame
from hs_common.replication.names import FRAME_LIMIT

UNSENT_LIMIT = 64 * 1024 * 1024  # bytes that wait for a peer who does not read; then it is given up

_log = Logger()


class FrameProtocol(Protocol, ABC):
    """One end of a connection. Subclasses take frames in `frame_received` and the end in `connection_ended`."""

    def __init__(self, clock: Clock) -> None:
        self.is_open = False
        self.clock = clock
        self.last_received = clock.seconds()
        self._reader = FrameReader()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._write_is_due = False
        self._paused = False

    @abstractmethod
    def frame_received(self, frame: Frame) -> None:
        """One frame. May raise BrokenFrame."""

    @abstractmethod
    def connection_opened(self) -> None:
        """The connection is there."""

    @abstractmethod
    def connection_ended(self) -> None:
        """The connection is gone, once."""

    def send(self, frame: Frame) -> None:
        """Writes a frame at the end of this turn. Raises BrokenFrame if it is too large; then nothing is written."""
        data = encode_frame(frame)
        if not self.is_open:
            return
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > UNSENT_LIMIT:
            _log.warn("a peer does not read: its connection is given up")
            self.abort()
        elif not self._write_is_due:
            self._write_is_due = True
            self.clock.callLater(0, self._write)

    def trust(self) -> None:
        """The other side has proved itself: frames may be large."""
        self._reader.limit = FRAME_LIMIT

    def close(self) -> None:
        """Ends the connection once everything is written."""
        if self.is_open:
            self._write()
            self._transport.unregisterProducer()  # over TLS the end would wait for it
            self._transport.loseConnection()

    def abort(self) -> None:
        """Ends the connection now."""
        if self.is_open:
            self._transport.abortConnection()

    def connectionMade(self) -> None:
        """Called by Twisted."""
        self.is_open = True
        self.last_received = self.clock.seconds()
        self._transport.registerProducer(self, True)
        self.connection_opened()

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted."""
        self.last_received = self.clock.seconds()
        try:
            for frame in self._reader.feed(data):
                if self.is_open:
                    self.frame_received(frame)
        except BrokenFrame as error:
            _log.warn("a connection is given up: {error}", error=error)
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted."""
        if self.is_open:
            self.is_open = False
            self._unsent.clear()
            self.connection_ended()

    def pauseProducing(self) -> None:
        """Called by Twisted: the kernel takes no more."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Called by Twisted: the kernel takes more again."""
        self._paused = False
        self._write()

    def stopProducing(self) -> None:
        """Called by Twisted: the connection is gone."""
        self._paused = True

    @property
    def _transport(self) -> Any:
        return cast(Any, self.transport)

    def _write(self) -> None:
        self._write_is_due = False
        if self.is_open and self._unsent and not self._paused:
            data = b"".join(self._unsent)
            self._unsent.clear()
            self._unsent_bytes = 0
            write_now(self._transport, data)


Dial = Callable[[str, FrameProtocol], Any]
"""Connects a protocol to an address, "host:port"; the awaitable it gives is done when the protocol is connected."""
