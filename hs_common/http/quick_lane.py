"""The quick lane: requests of a simple shape, by callers who are known, to endpoints that can answer from memory or
wait without a coroutine.

Rules: it decides nothing that the long way decides otherwise. Where anything is not as usual (the bytes, the caller,
what is asked for) it declines, and twisted.web and the dispatcher get the request as if there were no lane. An endpoint
with a rate limit has no place here, since a request that is declined would be counted twice.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from twisted.logger import Logger

from hs_common.http.dispatcher import Dispatcher
from hs_common.http.endpoint import Auth, EndpointDeclaration, Rate
from hs_common.http.quick_exchange import QuickExchange
from hs_common.http.quick_requests import QuickRequests
from hs_common.http.reception import Reception

_log = Logger()


class QuickEndpoint(Protocol):
    """What has a quick way."""

    @property
    def declaration(self) -> EndpointDeclaration:
        """The endpoint's facts."""

    def may_want(self, query_string: bytes) -> bool:
        """False for a request that is certainly not for the quick way: seen at a glance, before anything is done."""

    def take(self, exchange: QuickExchange) -> bool:
        """Whether it keeps the request: then it has begun it, and answers it now or later."""


class _Place(NamedTuple):
    endpoint: QuickEndpoint
    declaration: EndpointDeclaration


class QuickLane:
    """The lane of a reception."""

    def __init__(self, reception: Reception, dispatcher: Dispatcher, endpoints: Iterable[QuickEndpoint]) -> None:
        self.taken = 0
        self._reception = reception
        self._dispatcher = dispatcher
        self._places = {
            template.encode("ascii"): _Place(endpoint, endpoint.declaration)
            for endpoint in endpoints
            for template in endpoint.declaration.templates
        }
        for path, place in self._places.items():
            facts = place.declaration
            is_fit = facts.method == "GET" and facts.rate is Rate.NONE and not facts.reads and b"{" not in path
            assert is_fit and facts.auth in (Auth.USER, Auth.USER_OR_GUEST), f"{facts.path} has no place in the lane"  # noqa: PT018
        self._requests = QuickRequests({path: place.endpoint.may_want for path, place in self._places.items()})

    def take(self, channel: Any, data: bytes) -> bool:
        """Whether it took the bytes, which came between two requests of the channel. If not, nothing happened."""
        request = self._requests.read(data)
        if request is None:
            return False
        endpoint, declaration = self._places[request.path]
        requester = self._dispatcher.remembered(request.headers.token_hash, declaration)
        if requester is None:
            return False
        exchange = QuickExchange(channel, data, request, self._reception, declaration, requester)
        if not self._offer(endpoint, exchange):
            return False
        self.taken += 1
        self._dispatcher.note_seen(requester, exchange.client_ip, request.headers.user_agent)
        return True

    def _offer(self, endpoint: QuickEndpoint, exchange: QuickExchange) -> bool:
        try:
            return endpoint.take(exchange)
        except Exception as error:
            # A bug of the quick way is answered as one, or the request goes the long way if it has not begun.
            if exchange.has_begun:
                exchange.refuse(error)
            else:
                _log.failure("Request {request_id} failed on the quick lane", request_id=exchange.request_id)
            return exchange.has_begun

    def entries(self) -> int:
        """How many clients' headers are remembered."""
        return self._requests.entries()
