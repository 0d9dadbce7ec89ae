"""One request of the quick lane and its answer on a connection, without a coroutine.

Rules: it is answered once, refused once, or handed over to twisted.web with all of its bytes, from where it goes the
long way; whatever the lane does not do itself is done by that.
"""

from collections.abc import Callable
from typing import Any

from hs_common.http.endpoint import EndpointDeclaration
from hs_common.http.lane_exchange import LaneExchange
from hs_common.http.quick_requests import QuickRequest
from hs_common.http.reception import Reception
from hs_common.http.request import Requester
from hs_common.http.response_head import json_response
from hs_common.process.request_id import on_behalf_of


class QuickExchange(LaneExchange):
    """A request whose caller is known."""

    __slots__ = ("_data", "_request", "requester")

    def __init__(
        self,
        channel: Any,
        data: bytes,
        request: QuickRequest,
        reception: Reception,
        declaration: EndpointDeclaration,
        requester: Requester,
    ) -> None:
        super().__init__(
            channel, reception, declaration, request.path, request.request_id, request.headers.forwarded_for
        )
        self._data = data
        self._request = request
        self.requester = requester

    @property
    def query_string(self) -> bytes:
        """What stands behind the `?`."""
        return self._request.query_string

    def answer(self, json: bytes) -> None:
        """200."""
        self._finish(200, json_response(json, self._common_headers()), len(json))

    def hand_over(self) -> None:
        """Goes the long way, from its beginning."""
        self.is_over = True
        self._channel.hand_over(self._data, self.started_s, self.request_id)

    def on_its_behalf(self, call: Callable[[], None]) -> None:
        """Calls as from within the request."""
        requester = self.requester
        on_behalf_of(self.request_id, requester.app_service_id or requester.user_id, call)
