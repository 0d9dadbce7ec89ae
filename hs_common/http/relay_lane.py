"""The quick lane of a front door: passes on what has a simple shape as bytes, and gives back the response.

Rules: it decides nothing that the long way decides otherwise. Requests that are answered here, that other servers sign,
whose body is received while it comes or is larger than it may be, and all that are not of the simple shape, go to
twisted.web as if there were no lane.
"""

from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import toChunk

from hs_common.http.faults import unavailable
from hs_common.http.forwarding import Forwarder
from hs_common.http.kept_connection import Question
from hs_common.http.lane_exchange import CLIENT_GONE, LaneExchange
from hs_common.http.reception import Reception
from hs_common.http.relayed_requests import RelayedRequest, RelayedRequests
from hs_common.http.response_head import begun_response
from hs_common.http.router import Route
from hs_common.http.write_now import write_now
from hs_common.matrix.errors import MatrixError

_NOTHING: Final = BytesIO()


class RelayLane:
    """The lane of a reception."""

    def __init__(self, reception: Reception, forwarder: Forwarder) -> None:
        self.taken = 0
        self._reception = reception
        self._forwarder = forwarder
        self._requests = RelayedRequests()

    def take(self, channel: Any, data: bytes) -> bool:
        """Whether it took the bytes, which came between two requests of the channel. If not, nothing happened."""
        request = self._requests.read(data)
        if request is None:
            return False
        match = self._reception.match_for_lane(request.method, request.path, len(request.body))
        if match is None or match.target.call is not None:
            return False
        self.taken += 1
        RelayExchange(channel, self._reception, match.target, request).pass_on(self._forwarder)
        return True

    def entries(self) -> int:
        """How many clients' headers are remembered."""
        return self._requests.entries()


class RelayExchange(LaneExchange):
    """A request that is passed on, and the sink of its response."""

    __slots__ = ("_asking", "_is_chunked", "_request", "_role", "_sent_bytes", "_status")

    def __init__(self, channel: Any, reception: Reception, route: Route, request: RelayedRequest) -> None:
        super().__init__(channel, reception, route.declaration, request.path, request.request_id, request.forwarded_for)
        self._method = request.method
        self._received_bytes = len(request.body)
        self._request = request
        self._role = route.role
        self._asking: Deferred[None] | None = None
        self._is_chunked = False
        self._status = CLIENT_GONE
        self._sent_bytes = 0

    def pass_on(self, forwarder: Forwarder) -> None:
        """Asks a worker."""
        self.begin()
        self._reception.observer.request_forwarded(self._role)
        question = Question(self._request.passed_on(self.request_id, self.client_ip), _NOTHING, 0, is_head=False)
        self._asking = asking = Deferred.fromCoroutine(forwarder.send(question, self._role, self))
        self.on_gone = asking.cancel
        asking.addCallbacks(self._complete, self._failed)

    def _complete(self, _: None) -> None:
        if not self.is_over:
            self._finish(self._status, b"0\r\n\r\n" if self._is_chunked else b"", self._sent_bytes)

    def _failed(self, failure: Failure) -> None:
        """No response came, or none with an end; or the client has gone, who took the request along."""
        if self.is_over:
            return
        is_interrupted = failure.check(CancelledError)
        if self._status == CLIENT_GONE and isinstance(failure.value, MatrixError):
            self.refuse(failure.value)
        elif self._status == CLIENT_GONE and is_interrupted:
            self.refuse(unavailable("The request was interrupted"))
        else:
            if not is_interrupted:
                _log.failure("Request {request_id} broke off", failure=failure, request_id=self.request_id)
            self._channel.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone. Called by the channel."""
        self._gone(self._status, self._sent_bytes)

    # As the sink of the response

    def begin_response(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Its head, and what of its body is there already."""
        self._status = status
        head, self._is_chunked = begun_response(status, headers, self._common_headers(), may_chunk=True)
        self._sent_bytes = len(body)
        if self._is_chunked and body:
            body = b"".join(toChunk(body))
        write_now(self._channel.transport, head + body)

    def write(self, data: bytes) -> None:
        """More of its body."""
        self._sent_bytes += len(data)
        write_now(self._channel.transport, b"".join(toChunk(data)) if self._is_chunked else data)

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Who is to be stopped while the client takes nothing."""
        self._channel.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """There is nobody to be stopped any more."""
        self._channel.unregisterProducer()


_log = Logger()
