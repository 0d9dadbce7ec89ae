"""One request and its response on a connection: reading within limits, writing in one piece or as fast as the client
takes it, noticing who has gone.

Built on twisted.web's Request for its place in the HTTP/1.1 channel; its argument parsing, cookies, sessions and
resource tree are not used. Not known here: endpoints, users, and what an error means.
"""

from collections.abc import Iterable, Sequence
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from hs_common.http.body_stream import BodyStream
from hs_common.http.cors import CORS_HEADERS
from hs_common.http.faults import response_for, unavailable
from hs_common.http.hop import REQUEST_ID_HEADER
from hs_common.http.incoming import Incoming
from hs_common.http.paths import Match
from hs_common.http.reception import HELD_BODY_BYTES, LARGE_BODY_BYTES, FinishedRequest, Reception
from hs_common.http.reply import Response, Streamed
from hs_common.http.response_head import NO_BODY, begun_response, common_headers, whole_response
from hs_common.http.router import Route
from hs_common.http.streaming import Sending
from hs_common.http.write_now import write_now
from hs_common.matrix.errors import MatrixError, too_large

DISCARDED_BODY_LIMIT_BYTES: Final = 16 * 1024 * 1024
"""What we go on reading of a refused body. Closing at once would reset the connection and lose the answer on its way;
a client that still sends after this much does not read it anyway."""

CLIENT_GONE: Final = 499
"""Counted as the status of a request whose client went away before the answer; never sent."""

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))


class Exchange(http.Request):
    """A request as the channel feeds it. The channel calls: `gotLength` after the headers, `handleContentChunk` per
    piece of the body, `requestReceived` at its end, `connectionLost` if the client goes away before the answer."""

    channel: Any
    content: Any

    def __init__(self, channel: Any, queued: object = False) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self._reception: Reception = channel.reception
        self._match: Match[Route] | None = None
        self._body_limit = 0
        self._received_bytes = 0
        self._discarded_bytes = 0
        self._stream: BodyStream | None = None
        self._refused = False
        self._gone = False
        self._work: Deferred[None] | None = None
        self._status = CLIENT_GONE
        self._request_id = ""

    # What the channel calls

    def gotLength(self, length: int | None) -> None:
        """The headers are complete: decides whether the body will be read, and where it goes."""
        begun = self.channel.take_begun()
        if begun is None:
            self._reception.observer.request_started()
            self._started_s = self._reception.monotonic()
        self.method, self.uri, self.clientproto = self.channel.request_line()
        self._method = self.method.decode("latin-1")
        path, _, self._query_string = self.uri.partition(b"?")
        self._uri_path = path.decode("latin-1")
        self._identify()
        if begun is not None:
            self._started_s, self._request_id = begun
        try:
            self._match = self._reception.open(self._method, path, self._query_string, self.requestHeaders, length)
        except MatrixError as error:
            self.content = BytesIO()
            self._refuse(error, reads_on=length is not None and length <= LARGE_BODY_BYTES)
            return
        if self._match is not None and self._match.target.declaration.streams and length != 0:
            self.content = BytesIO()
            self._stream = BodyStream(length, self._pause_reading, self._resume_reading)
            self._begin_work()
            return
        self._body_limit = self._reception.body_limit(self._match)
        large = length is None or length > LARGE_BODY_BYTES
        self.content = SpooledTemporaryFile(HELD_BODY_BYTES) if large else BytesIO()  # noqa: SIM115 (closed by super)

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body: kept, unless the body is refused or has grown too large with this piece."""
        self._received_bytes += len(data)
        if self._refused:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > DISCARDED_BODY_LIMIT_BYTES:
                self.channel.transport.abortConnection()
        elif self._stream is not None:
            self._stream.feed((data,), len(data))
        elif self._received_bytes > self._body_limit:
            self._refuse(too_large(f"The body is larger than {self._body_limit} bytes"), reads_on=False)
        else:
            self.content.write(data)

    def takes_pieces(self) -> bool:
        """Whether the next pieces of the body may be given to `take_pieces`: somebody reads them while they come."""
        return self._stream is not None and not (self._refused or self._stream.is_paused or self._gone)

    def take_pieces(self, pieces: Sequence[bytes], size: int) -> None:
        """Several pieces of the body, `size` bytes in all, not the last one."""
        assert self._stream is not None, "nobody reads the body while it comes"
        self._received_bytes += size
        self._stream.feed(pieces, size)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete: starts the work for it, unless that began before the body."""
        if self._refused:
            self.finish()
        elif self._stream is not None:
            self._stream.end()
        else:
            self.content.seek(0)
            if self._match is not None and self._match.target.declaration.streams:
                self._stream = BodyStream(0, self._pause_reading, self._resume_reading)
                self._stream.end()
            self._begin_work()

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone: stops the work for it."""
        self._gone = True
        if self._work is not None:
            self._work.cancel()
        if self._stream is not None:
            self._stream.discard()
        if self._request_id and not self.finished:
            self._observe()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    # The work

    def _begin_work(self) -> None:
        self._work = Deferred.fromCoroutine(self._answer())
        self._work.addErrback(self._broken)

    async def _answer(self) -> None:
        incoming = Incoming(
            method=self._method,
            uri_path=self._uri_path,
            query_string=self._query_string,
            headers=self.requestHeaders,
            content=self.content,
            request_id=self._request_id,
            client_ip=self._client_ip,
            stream=self._stream,
            started_s=self._started_s,
        )
        try:
            response = await self._reception.answer(incoming, self._match, self)
        except MatrixError as error:
            response = response_for(error, self._request_id, self._log)
        except CancelledError:
            if self._gone or self.startedWriting:
                raise
            # Something that this request shared with others was called off.
            response = response_for(unavailable("The request was interrupted"), self._request_id, self._log)
        if self._disconnected:
            if isinstance(response, Streamed):
                response.source.close()
            return
        if self._stream is not None and not self._stream.complete:
            self._leave_rest(self._stream)
        if isinstance(response, Streamed):
            await self._send_streamed(response)
        elif response is not None:
            self._send(response)
        if not self._refused:
            self.finish()

    def _broken(self, failure: Failure) -> None:
        """The work ended without an answer: the client went away, or a forwarded answer broke off in the middle."""
        if not failure.check(CancelledError):
            self._log.failure("Request {request_id} broke off", failure=failure, request_id=self._request_id)
        if not self._disconnected and not self.finished:
            self.channel.transport.abortConnection()

    def _refuse(self, error: MatrixError, reads_on: bool) -> None:
        """Answers before the body is read. What still comes is thrown away; unless it is so little that the connection
        is better kept (`reads_on`), it closes after that."""
        self._refused = True
        if self.requestHeaders.hasHeader(b"expect"):
            # The channel would invite the body with a "100 Continue" behind our answer; and a client that has the
            # answer may leave the body out, so nobody knows where its next request begins.
            self.requestHeaders.removeHeader(b"expect")
            reads_on = False
        if not reads_on:
            self.channel.persistent = False
        self._send(response_for(error, self._request_id, self._log))

    def _leave_rest(self, stream: BodyStream) -> None:
        """The answer is there before the end of the body, which is read no further than `_refuse` says; the request is
        finished when that has come."""
        self._refused = True
        self.requestHeaders.removeHeader(b"expect")
        self.channel.persistent = False
        stream.discard()

    def _pause_reading(self) -> None:
        if not self._gone:
            self.channel.transport.pauseProducing()

    def _resume_reading(self) -> None:
        if not self._gone:
            self.channel.transport.resumeProducing()

    # Writing

    def _send(self, response: Response) -> None:
        """Writes the whole response at once."""
        self.startedWriting = 1
        self._status = response.status
        with_body = self._method != "HEAD" and response.status not in NO_BODY
        data = whole_response(response, self._common_headers(), with_body=with_body)
        if with_body:
            self.sentLength = len(response.body)  # type: ignore[arg-type]  # bytes, as it is encoded
        write_now(self.channel.transport, data)

    async def _send_streamed(self, response: Streamed) -> None:
        """Writes the head, and then the body as the client takes it."""
        headers = {**CORS_HEADERS, **response.headers}
        if response.length is not None:
            headers["Content-Length"] = str(response.length)
        elif self.clientproto != b"HTTP/1.1":
            self.channel.persistent = False  # the end of the connection is the end of the body
        self.begin_response(
            response.status, [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        )
        if self._method == "HEAD":
            response.source.close()
            return
        sending = Sending(self, self.channel.callLater, self.channel.transport.abortConnection)
        await sending.send(response.source, response.length)

    def _common_headers(self) -> bytes:
        if self._reception.draining:
            self.channel.persistent = False
        return common_headers(self._reception.date(), bool(self.channel.persistent))

    def begin_response(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes = b"") -> None:
        """Begins a streamed response; `write` and the producer interface of twisted.web carry the rest of its body, in
        chunks unless the headers tell its length."""
        if self._stream is not None and not self._stream.complete:
            self.channel.persistent = False
        self._status = status
        self.startedWriting = 1
        may_chunk = self._method != "HEAD" and self.clientproto == b"HTTP/1.1"
        head, is_chunked = begun_response(status, headers, self._common_headers(), may_chunk=may_chunk)
        if self._method == "HEAD" or status in NO_BODY:
            self.write = _discard  # type: ignore[method-assign]  # as twisted.web does
            body = b""
        self.sentLength = len(body)
        if is_chunked:
            self.chunked = 1
            body = b"".join(http.toChunk(body)) if body else b""
        write_now(self.channel.transport, head + body)

    def write(self, data: bytes) -> None:
        """The next piece of a streamed body. What the client takes at once goes at once."""
        if self.chunked or self.finished or self._disconnected:
            super().write(data)  # type: ignore[no-untyped-call]
        else:
            self.sentLength += len(data)
            write_now(self.channel.transport, data)

    def finish(self) -> None:
        """The response is written: counts it, and lets the channel go on to the next request."""
        super().finish()  # type: ignore[no-untyped-call]
        self._observe()

    def _observe(self) -> None:
        declaration = None if self._match is None else self._match.target.declaration
        self._reception.observer.request_finished(
            FinishedRequest(
                request_id=self._request_id,
                client_ip=self._client_ip,
                method=self._method if self._method in _METHODS else "other",
                template="unknown" if declaration is None else declaration.path,
                uri_path=self._uri_path,
                status=self._status,
                seconds=self._reception.monotonic() - self._started_s,
                received_bytes=self._received_bytes,
                sent_bytes=self.sentLength,
                waits=declaration is not None and declaration.waits,
            )
        )

    def _identify(self) -> None:
        headers = self.requestHeaders
        request_ids = headers.getRawHeaders(REQUEST_ID_HEADER, ())
        self._request_id, self._client_ip = self._reception.identify(
            self.channel.peer_address(),
            request_ids[0] if request_ids else None,
            headers.getRawHeaders(b"x-forwarded-for", ()),
        )

    _log = Logger()


def _discard(data: bytes) -> None:
    """Takes the body of a response that has none."""
