"""Accepts connections, and ends them gently.

A thin layer over twisted.web's HTTP/1.1 channel: a reverse proxy speaks everything newer, and TLS.
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, _IdentityTransferDecoder

from hs_common.http.body_stream import BUFFERED_BYTES
from hs_common.http.exchange import Exchange
from hs_common.http.lane_exchange import LaneExchange
from hs_common.http.read_now import read_now
from hs_common.http.reception import Reception
from hs_common.http.reply import error_response
from hs_common.http.response_head import common_headers, whole_response
from hs_common.matrix.errors import MatrixError, too_large, unknown

IDLE_TIMEOUT_S: Final = 75.0
"""Longer than reverse proxies keep their side open (usually 60 s), so that the proxy closes first and never sends a
request into a connection that is just being closed. Also what a client has for each piece of a slow body."""

SLOWEST_BYTES_PER_S: Final = 1024
"""What a request must come with, beside `IDLE_TIMEOUT_S` for its beginning: who says a byte now and then holds a
connection for minutes at most. The slowest of telephones is faster."""

CONNECTIONS_LIMIT: Final = 10_000
"""Long polls hold one each; beyond, the process would run out of file descriptors where they are needed more."""

REFUSED_HEAD_S: Final = 5.0
REFUSED_HEAD_BYTES: Final = 1024 * 1024
"""How long and how much is still read of a client whose request could not be read: closing at once would reset the
connection, and the answer might be lost on its way."""

LARGE_PIECE_BYTES: Final = 4 * 1024
"""More than a head alone: most of it is a body."""
HEAD_END: Final = b"\r\n\r\n"


class Channel(HTTPChannel):
    """A connection with its reception; knows the listener's other connections only to leave them."""

    requestFactory: Any = Exchange
    timeOut: Any
    callLater: Any
    _buffer: Any
    _busyReceiving: Any
    _dataBuffer: Any
    _transferDecoder: Any
    _HTTPChannel__first_line: Any
    line_mode: Any
    paused: Any
    persistent: Any
    requests: Any
    _receivedHeaderSize: Any
    _receivedHeaderCount: Any
    _command: Any
    _path: Any
    _version: Any
    transport: Any
    _peer: IAddress
    _host: IAddress
    _begun: tuple[float, str] | None = None
    _address = ""
    _discarded_bytes: int | None = None  # since a head was refused
    _coming_since: float | None = None  # when the request began of which the end has not come yet
    _came_bytes = 0
    reception: Reception
    listener: "Listener"

    def request_line(self) -> tuple[bytes, bytes, bytes]:
        """Method, target and version of the request whose headers were just read."""
        return self._command, self._path, self._version

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        # Asked for each request, and the host of the system each time.
        self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        self._address = getattr(self._peer, "host", "")
        self.listener.channels.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._discarded_bytes is not None:
            self._discard(len(data))
            return
        lane = self.reception.lane
        if lane is not None and self._is_between_requests() and lane.take(self, data):
            return
        if not self._handlingRequest and self._is_too_slow(len(data)):
            self.transport.abortConnection()
            return
        if len(data) > LARGE_PIECE_BYTES and self.line_mode and not self._busyReceiving:
            data = self._without_head(data)
        if not self.line_mode and self._transferDecoder is not None:
            data = self._without_body(data)
        if data:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    # Of bodies that are read while they come. twisted.web splits off each line of a head by copying all that came with
    # it, and has a turn of the reactor for each piece of a body.

    def _without_head(self, data: bytes) -> bytes:
        """Gives twisted.web the head of a request, if all of it is there; returns what follows, as if it came later."""
        end = data.find(HEAD_END) + len(HEAD_END)
        if end < len(HEAD_END):
            return data
        super().dataReceived(data[:end])  # type: ignore[no-untyped-call]
        return b"" if self.transport.disconnecting or self._discarded_bytes is not None else data[end:]

    def _without_body(self, data: bytes) -> bytes:
        """Gives the request what came of its body, and what more is there; returns the end of the body, if it came."""
        decoder, request = self._transferDecoder, self.requests[-1]
        if type(decoder) is not _IdentityTransferDecoder or self._buffer or not request.takes_pieces():
            return data
        pieces, left, taken = [], decoder.contentLength, 0
        while 0 < (size := len(data)) < left - taken:
            pieces.append(data)
            taken += size
            data = b"" if taken >= BUFFERED_BYTES else read_now(self.transport)
        if not pieces:
            return data
        decoder.contentLength = left - taken
        self.resetTimeout()  # type: ignore[no-untyped-call]
        request.take_pieces(pieces, taken)
        return data

    def _is_too_slow(self, more: int) -> bool:
        """Silence is the idle timer's. What comes while a request is being answered waits for its turn, uncounted."""
        now = self.listener.seconds()
        if self._coming_since is None:
            self._coming_since, self._came_bytes = now, 0
        self._came_bytes += more
        return now - self._coming_since > IDLE_TIMEOUT_S + self._came_bytes / SLOWEST_BYTES_PER_S

    def allContentReceived(self) -> None:
        self._coming_since = None
        super().allContentReceived()  # type: ignore[no-untyped-call]

    # Of what is no request. twisted.web would answer without a body, or not at all.

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse_head(self._too_large())

    def _respondToBadRequestAndDisconnect(self) -> None:
        is_large = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        self._refuse_head(self._too_large() if is_large else unknown("This is not an HTTP request", status=400))

    def _too_large(self) -> MatrixError:
        is_head_line = bool(self._HTTPChannel__first_line)
        return too_large("The URL is too long", 414) if is_head_line else too_large("The headers are too large", 431)

    def _refuse_head(self, error: MatrixError) -> None:
        """Answers, and ends the connection once the client has read it."""
        if self._discarded_bytes is not None or (self.requests and self.requests[-1].startedWriting):
            self.transport.loseConnection()
            return
        self._buffer, self._discarded_bytes = b"", 0
        self.persistent = False
        response = whole_response(error_response(error), common_headers(self.reception.date(), persistent=False))
        self.transport.write(response)
        if self.line_mode and hasattr(self.transport, "loseWriteConnection"):
            self.requests.clear()  # the one that could not be read: nothing waits for it
            self.transport.loseWriteConnection()
            self.setTimeout(min(REFUSED_HEAD_S, self.timeOut))  # type: ignore[no-untyped-call]
        else:
            self.transport.loseConnection()

    def _discard(self, size: int) -> None:
        assert self._discarded_bytes is not None, "only what follows a refused head"
        self._discarded_bytes += size
        if self._discarded_bytes > REFUSED_HEAD_BYTES:
            self.transport.abortConnection()

    # For the quick lane. What twisted.web keeps of a request under way is kept of a quick one too, so that what comes
    # meanwhile waits its turn, and a request that is handed over is as any other.

    def _is_between_requests(self) -> bool:
        """Whether the next byte is the first of a request, and an answer could be written at once."""
        return (
            not (self.requests or self._buffer or self._busyReceiving or self.paused or self._waitingForTransport)
            and bool(self.line_mode and self.persistent)
            and self._HTTPChannel__first_line == 1
            and not self.transport.disconnecting
        )

    def begin_quick(self, exchange: LaneExchange) -> None:
        """A request begins that was not read by twisted.web. `end_quick` or `hand_over` ends it."""
        self.requests.append(exchange)
        self._handlingRequest = True
        self.line_mode = 0

    def end_quick(self, exchange: LaneExchange) -> None:
        """It is answered."""
        self.resetTimeout()  # type: ignore[no-untyped-call]
        if self._dataBuffer or self._waitingForTransport or not self.persistent:
            self.requestDone(exchange)  # type: ignore[no-untyped-call]
        else:
            self._leave_quick()

    def hand_over(self, data: bytes, started_s: float, request_id: str) -> None:
        """It is twisted.web's now, from its first byte; the time and number that it had stay its own."""
        self._leave_quick()
        self._begun = (started_s, request_id)
        came_meanwhile, self._dataBuffer = self._dataBuffer, []
        super().dataReceived(b"".join((data, *came_meanwhile)))  # type: ignore[no-untyped-call]

    def _leave_quick(self) -> None:
        self.requests.clear()
        self._handlingRequest = False
        self.line_mode = 1

    def take_begun(self) -> tuple[float, str] | None:
        """When a request that was handed over began, and its id; once."""
        begun, self._begun = self._begun, None
        return begun

    def timeoutConnection(self) -> None:
        # The timer of a connection is not stopped for a quick request, only put off.
        if self.requests and isinstance(self.requests[0], LaneExchange):
            self.setTimeout(self.timeOut)  # type: ignore[no-untyped-call]
        else:
            super().timeoutConnection()  # type: ignore[no-untyped-call]

    def peer_address(self) -> str:
        """The address of the other end; empty for a connection without one (a Unix socket)."""
        return self._address

    def getPeer(self) -> IAddress:
        """Where the other end is."""
        return self._peer

    def getHost(self) -> IAddress:
        """Where this end is."""
        return self._host

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.listener.left(self)


class Listener(ServerFactory):
    """The factory of a listening port. `clock` is the reactor, or a test's clock."""

    noisy = False

    def __init__(
        self,
        reception: Reception,
        clock: Any,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        connections_limit: int = CONNECTIONS_LIMIT,
    ) -> None:
        self._reception = reception
        self._clock = clock
        self._idle_timeout_s = idle_timeout_s
        self._connections_limit = connections_limit
        self.seconds: Callable[[], float] = clock.seconds
        self.channels: set[Channel] = set()
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:
        if len(self.channels) >= self._connections_limit:
            return None  # closes it at once
        channel = Channel()  # type: ignore[no-untyped-call]
        channel.reception = self._reception
        channel.listener = self
        channel.timeOut = self._idle_timeout_s
        channel.callLater = self._clock.callLater
        return channel

    def left(self, channel: Channel) -> None:
        """A connection has ended."""
        self.channels.discard(channel)
        if not self.channels and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def announce_end(self) -> None:
        """From now on each answer closes its connection, so that clients and proxies move elsewhere."""
        self._reception.draining = True

    async def drained(self, limit_s: float) -> None:
        """Closes connections that wait for a request, and waits until the others have their answers; after the limit
        these are closed too. Call it when nothing is accepted any more."""
        self.announce_end()
        for channel in list(self.channels):
            if not channel.requests:
                channel.loseConnection()  # type: ignore[no-untyped-call]
        if not self.channels:
            return
        self._empty = Deferred()
        cut = self._clock.callLater(limit_s, self._cut)
        await self._empty
        if cut.active():
            cut.cancel()

    def _cut(self) -> None:
        for channel in list(self.channels):
            channel.forceAbortClient()  # type: ignore[no-untyped-call]
