"""A connection to another process of this server: passes on one request after the other, and their responses as they
come.

Rules: a connection carries one request at a time. It is used again only when both sides agree where its response ended;
one that says anything unasked, or that had more to say than the response, is cut. Whoever reads slowly slows the other
side down. A client that goes away takes the request with it. Not known here: the other connections.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, BinaryIO, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from hs_common.http.body_writing import BodySource, BodyWriting, FileWriting, StreamWriting
from hs_common.http.hop import end_to_end
from hs_common.http.response_reader import MalformedResponse, ResponseHead, ResponseReader
from hs_common.http.write_now import write_now

Worker = tuple[str, int]
"""Host and port."""

AT_ONCE_BYTES: Final = 100_000
"""Bodies up to this are in memory anyway and are written with the head; larger ones piece by piece from their file."""


class NoResponse(Exception):
    """The worker broke off, talked nonsense or took too long. The request may have had its effect."""


class BrokenResponse(Exception):
    """The response broke off in its middle, when its beginning was given out already."""


@dataclass(slots=True)
class Question:
    """A request as it is sent: all of its head, and its body as a file of that size in bytes, or `source` while it
    still comes. `is_head`: the method is HEAD."""

    head: bytes
    content: BinaryIO
    size_bytes: int
    is_head: bool
    source: BodySource | None = None


class Sink(Protocol):
    """Where the response goes."""

    def begin_response(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """`body` is what of it is there already."""

    def write(self, data: bytes) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...


class KeptConnection(TwistedProtocol):
    """Idle while it has no reader. `free` is told of it when its response is complete and it
    may be used again, `lose` when it ends."""

    transport: Any
    deadline_s = inf
    """When it has been idle, or without the beginning of a response, for too long."""

    def __init__(
        self, worker: Worker, free: Callable[["KeptConnection"], None], lose: Callable[["KeptConnection"], None]
    ) -> None:
        self.worker = worker
        self.lost: Deferred[None] = Deferred()
        self._free = free
        self._lose = lose
        self._reader: ResponseReader | None = None
        self._sink: Any = None
        self._done: Deferred[None] = self.lost
        self._begun = self._registered = False
        self._writing: BodyWriting | None = None

    def ask(self, question: Question, sink: Sink, deadline_s: float) -> Deferred[None]:
        """Sends the request. The Deferred fires when the response is complete; cancelling it cuts the connection."""
        self._reader, self._sink, self.deadline_s = ResponseReader(question.is_head), sink, deadline_s
        self._begun = self._registered = False
        self._done = Deferred(lambda _: self.abort())
        if question.source is not None:
            self.transport.write(question.head)
            self._writing = StreamWriting(question.source, self.transport)
        elif question.size_bytes > AT_ONCE_BYTES:
            self.transport.write(question.head)
            self._writing = FileWriting(question.content, question.size_bytes, self.transport)
        else:
            body = question.content.read() if question.size_bytes else b""
            write_now(self.transport, question.head + body)
        return self._done

    def abort(self) -> None:
        """Cuts it, whatever it is at."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.stop()
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        reader = self._reader
        if reader is None or self._done.called:
            self.abort()  # nobody asked, or nobody is left who did
            return
        try:
            body = reader.feed(data)
        except MalformedResponse as error:
            self._fail(error)
            return
        if reader.head is not None:
            self._pass_on(reader, reader.head, body)

    def _pass_on(self, reader: ResponseReader, head: ResponseHead, body: bytes) -> None:
        if not self._begun:
            self._begun = True
            self.deadline_s = inf
            self._sink.begin_response(head.status, end_to_end(head), body)
            body = b""
        if not (reader.is_complete or self._registered):
            self._registered = True
            self._sink.registerProducer(self.transport, True)
        if body:
            self._sink.write(body)
        if reader.is_complete:
            self._complete(is_good=head.persistent and not reader.has_surplus)

    def _complete(self, is_good: bool) -> None:
        done = self._release()
        if is_good and (self._writing is None or self._writing.is_finished):
            self._writing = None
            self._free(self)
        else:
            self.abort()
        done.callback(None)

    def _fail(self, error: Exception) -> None:
        begun, done = self._begun, self._release()
        self.abort()
        done.errback(BrokenResponse(str(error)) if begun else NoResponse(str(error)))

    def _release(self) -> Deferred[None]:
        if self._registered:
            self._sink.unregisterProducer()
            self.transport.resumeProducing()  # the client may have been slow with the last piece
        self._reader = self._sink = None
        return self._done

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lose(self)
        if self._reader is not None and not self._done.called:
            try:
                self._reader.end()
            except MalformedResponse as error:
                self._fail(error)
            else:
                self._complete(is_good=False)
        self.lost.callback(None)
