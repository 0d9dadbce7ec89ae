"""The quick lane of a worker: requests that came whole are answered by the stations that answer every request, without
twisted.web, which takes as long to read a small request as the stations to answer it.

Rules: it decides nothing that the long way decides otherwise. Requests that another process answers, that other
servers sign, whose body is received while it comes or is larger than it may be, whose answer may be read while it is
sent (those of GET), and all that are not of the simple shape, go to twisted.web as if there were no lane.
"""

from io import BytesIO
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from hs_common.http.faults import unavailable
from hs_common.http.incoming import Incoming
from hs_common.http.lane_exchange import LaneExchange
from hs_common.http.paths import Match
from hs_common.http.reception import Reception
from hs_common.http.reply import Response, Streamed
from hs_common.http.response_head import NO_BODY, whole_response
from hs_common.http.router import Route
from hs_common.http.whole_requests import WholeRequest, WholeRequests


class WholeLane:
    """The lane of a reception."""

    def __init__(self, reception: Reception) -> None:
        self.taken = 0
        self._reception = reception
        self._requests = WholeRequests()

    def take(self, channel: Any, data: bytes) -> bool:
        """Whether it took the bytes, which came between two requests of the channel. If not, nothing happened."""
        request = self._requests.read(data)
        if request is None:
            return False
        match = self._reception.match_for_lane(request.method, request.path, len(request.body))
        if match is None or match.target.call is None or request.method == "GET":
            return False
        self.taken += 1
        WholeExchange(channel, self._reception, match, request).answer()
        return True

    def entries(self) -> int:
        """How many clients' headers are remembered."""
        return self._requests.entries()


class WholeExchange(LaneExchange):
    """A request with all of its body, and its answer in one piece."""

    __slots__ = ("_match", "_request", "_work")

    def __init__(self, channel: Any, reception: Reception, match: Match[Route], request: WholeRequest) -> None:
        forwarded_for = request.headers.getRawHeaders(b"x-forwarded-for", ())
        super().__init__(channel, reception, match.target.declaration, request.path, request.request_id, forwarded_for)
        self._method = request.method
        self._received_bytes = len(request.body)
        self._match = match
        self._request = request

    def answer(self) -> None:
        """Has it answered."""
        self.begin()
        self._work = work = Deferred.fromCoroutine(self._answer())
        self.on_gone = work.cancel
        work.addErrback(self._broken)

    async def _answer(self) -> None:
        request, route = self._request, self._match.target
        incoming = Incoming(
            method=request.method,
            uri_path=request.path.decode("ascii"),
            query_string=request.query_string,
            headers=request.headers,
            content=BytesIO(request.body),
            request_id=self.request_id,
            client_ip=self.client_ip,
            started_s=self.started_s,
        )
        assert route.call is not None, "it is answered here"
        dispatcher = self._reception.dispatcher
        try:
            response = await dispatcher.answer(incoming, route.declaration, self._match.parameters, route.call)
        except CancelledError:
            if self.is_over:
                raise
            # Something that this request shared with others was called off.
            self.refuse(unavailable("The request was interrupted"))
            return
        if not self.is_over:
            self._send(response)

    def _send(self, response: Response | Streamed) -> None:
        assert isinstance(response, Response), "answers that are read while they are sent are those of GET"
        assert isinstance(response.body, bytes), "a response that has not been encoded"
        sent_bytes = 0 if response.status in NO_BODY else len(response.body)
        self._finish(response.status, whole_response(response, self._common_headers()), sent_bytes)

    def _broken(self, failure: Failure) -> None:
        """The work ended without an answer: the client went away, or by a bug."""
        if not failure.check(CancelledError):
            _log.failure("Request {request_id} broke off", failure=failure, request_id=self.request_id)
        if not self.is_over:
            self._channel.transport.abortConnection()


_log = Logger()
