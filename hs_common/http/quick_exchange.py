"""One request of the quick lane and its answer on a connection: what `exchange` is to the requests that twisted.web
reads, without a body to read and without a coroutine.

Rules: it is answered once, refused once, or handed over to twisted.web with all of its bytes, from where it goes the
long way; whatever the lane does not do itself is done by that. Counted and logged as every request.
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from hs_common.http.endpoint import EndpointDeclaration
from hs_common.http.faults import response_for
from hs_common.http.quick_requests import QuickRequest
from hs_common.http.reception import FinishedRequest, Reception
from hs_common.http.request import Requester
from hs_common.http.response_head import common_headers, json_response, whole_response
from hs_common.http.write_now import write_now
from hs_common.process.request_id import on_behalf_of

CLIENT_GONE: Final = 499
"""Counted as the status of a request whose client went away before the answer; never sent."""


def _nothing() -> None:
    """Nobody minds."""


class QuickExchange:
    """A request whose caller is known. Nothing of it has happened before `begin`; `on_gone` is called if the client
    goes away after that, before the answer."""

    __slots__ = (
        "_channel",
        "_data",
        "_declaration",
        "_reception",
        "_request",
        "client_ip",
        "has_begun",
        "is_over",
        "on_gone",
        "request_id",
        "requester",
        "started_s",
    )

    def __init__(
        self,
        channel: Any,
        data: bytes,
        request: QuickRequest,
        reception: Reception,
        declaration: EndpointDeclaration,
        requester: Requester,
    ) -> None:
        self._channel = channel
        self._data = data
        self._request = request
        self._reception = reception
        self._declaration = declaration
        self.requester = requester
        self.started_s = reception.monotonic()
        self.request_id, self.client_ip = reception.identify(
            channel.peer_address(), request.request_id, request.headers.forwarded_for
        )
        self.has_begun = self.is_over = False
        self.on_gone: Callable[[], None] = _nothing

    @property
    def query_string(self) -> bytes:
        """What stands behind the `?`."""
        return self._request.query_string

    def begin(self) -> None:
        """The lane keeps it."""
        self.has_begun = True
        self._reception.observer.request_started()
        self._channel.begin_quick(self)

    def answer(self, json: bytes) -> None:
        """200."""
        self._finish(200, json_response(json, self._common_headers()), len(json))

    def refuse(self, error: Exception) -> None:
        """What the error means to a client. A bug that shows after the end is merely logged."""
        response = response_for(error, self.request_id, _log)
        assert isinstance(response.body, bytes), "errors are encoded"
        if not self.is_over:
            self._finish(response.status, whole_response(response, self._common_headers()), len(response.body))

    def hand_over(self) -> None:
        """Goes the long way, from its beginning."""
        self.is_over = True
        self._channel.hand_over(self._data, self.started_s, self.request_id)

    def on_its_behalf(self, call: Callable[[], None]) -> None:
        """Calls as from within the request."""
        requester = self.requester
        on_behalf_of(self.request_id, requester.app_service_id or requester.user_id, call)

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone. Called by the channel."""
        self.is_over = True
        self._observe(CLIENT_GONE, 0)
        self.on_gone()

    def _finish(self, status: int, data: bytes, sent_bytes: int) -> None:
        self.is_over = True
        write_now(self._channel.transport, data)
        self._channel.end_quick(self)
        self._observe(status, sent_bytes)

    def _common_headers(self) -> bytes:
        channel, reception = self._channel, self._reception
        if reception.draining:
            channel.persistent = False
        return common_headers(reception.date(), bool(channel.persistent))

    def _observe(self, status: int, sent_bytes: int) -> None:
        reception, declaration = self._reception, self._declaration
        reception.observer.request_finished(
            FinishedRequest(
                request_id=self.request_id,
                client_ip=self.client_ip,
                method="GET",
                template=declaration.path,
                uri_path=self._request.path.decode("ascii"),
                status=status,
                seconds=reception.monotonic() - self.started_s,
                received_bytes=0,
                sent_bytes=sent_bytes,
                waits=declaration.waits,
            )
        )


_log = Logger()
