"""Decides what becomes of a request: refused at the door, answered here, or forwarded to a worker of another role.

Everything that connections of one listener share is here, passed in by the process's wiring; what a single connection
does stands in `exchange`, what happens to an admitted request in `dispatcher`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from twisted.web.http_headers import Headers

from hs_common.http.cors import PREFLIGHT_HEADERS
from hs_common.http.credentials import access_token_hash, client_address
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.endpoint import Auth
from hs_common.http.faults import unavailable
from hs_common.http.forwarding import Forwarder
from hs_common.http.hop import HOP_HEADER
from hs_common.http.incoming import Incoming
from hs_common.http.kept_connection import Sink
from hs_common.http.paths import Match
from hs_common.http.reply import Response, Streamed
from hs_common.http.router import Route, Router
from hs_common.http.server_calls import claims_of
from hs_common.matrix.errors import MatrixError, missing_token, too_large

DEFAULT_BODY_LIMIT_BYTES: Final = 1024 * 1024
"""No request of the client-server API but an upload needs more: an event is at most 64 KiB, and the largest bodies in
practice (keys of a device, a batch of to-device messages, a key backup page) stay under 1 MiB."""
LARGE_BODY_BYTES: Final = 100_000
"""From here on a body without a token is not worth reading."""
HELD_BODY_BYTES: Final = 500_000
"""A body with a token is held up to here, as that of a room key for hundreds of devices is; beyond, spooled to disk."""


class FinishedRequest(NamedTuple):
    """What is known of a request when its answer is written, or its client gone (status 499).

    `template` is the declared path, "unknown" for a path that is not declared: never what a client made up. `uri_path`
    is what the client sent, without the query string (where a token may stand).
    """

    request_id: str
    client_ip: str
    method: str
    template: str
    uri_path: str
    status: int
    seconds: float
    received_bytes: int
    sent_bytes: int
    waits: bool


class RequestObserver(Protocol):
    """Who counts requests: the metrics of the process."""

    def request_started(self) -> None: ...
    def request_finished(self, request: FinishedRequest) -> None: ...
    def request_forwarded(self, role: str) -> None: ...


class Lane(Protocol):
    """A quick way for requests of a simple shape."""

    def take(self, channel: Any, data: bytes) -> bool:
        """Whether it took the bytes, which came between two requests of the channel. If not, nothing happened."""


@dataclass
class Reception:
    """What a listener's connections share.

    `monotonic` gives seconds, `date` the value of the Date header, `new_request_id` ids that are unique in the cluster,
    `is_trusted` says whether an address is one of our proxies or workers. `forwarder` is None where every role is here.
    """

    router: Router
    dispatcher: Dispatcher
    observer: RequestObserver
    monotonic: Callable[[], float]
    date: Callable[[], str]
    new_request_id: Callable[[], str]
    is_trusted: Callable[[str], bool]
    forwarder: Forwarder | None = None
    body_limit_bytes: int = DEFAULT_BODY_LIMIT_BYTES
    """The largest body of an endpoint that declares no limit of its own."""
    lane: Lane | None = None
    draining: bool = False
    """Set while the process is about to end: connections close after the answer that is being made."""

    def open(
        self, method: str, path: bytes, query_string: bytes, headers: Headers, length: int | None
    ) -> Match[Route] | None:
        """The route of a request whose body has not been read; None for a preflight. Raises the error for a request
        that need not be read any further. `length` is the announced size in bytes, None for a chunked body."""
        if method == "OPTIONS":
            return None
        match = self.router.find(method, path)
        declaration = match.target.declaration
        large = length is None or length > LARGE_BODY_BYTES
        needs_token = declaration.auth not in (Auth.NONE, Auth.USER_OPTIONAL, Auth.SERVICE_OPTIONAL, Auth.SERVER)
        if declaration.auth is Auth.SERVER:
            # Raises for a request that nobody has signed, and for who has to wait.
            self.dispatcher.admit_server(claims_of(headers)[0].origin)
        if large and needs_token and access_token_hash(headers, query_string) is None:
            raise missing_token()
        if declaration.streams:
            return match
        limit_bytes = self.body_limit(match)
        if length is not None and length > limit_bytes:
            raise too_large(f"The body is larger than {limit_bytes} bytes")
        return match

    def body_limit(self, match: Match[Route] | None) -> int:
        """How large the body may be, in bytes."""
        declared = None if match is None else match.target.declaration.body_limit_bytes
        return self.body_limit_bytes if declared is None else declared

    def match_for_lane(self, method: str, path: bytes, body_bytes: int) -> Match[Route] | None:
        """What a request that came whole asks for, if its body is small and not streamed, nor signed by a server."""
        try:
            match = self.router.find(method, path)
        except MatrixError:
            return None
        facts = match.target.declaration
        is_usual = facts.auth is not Auth.SERVER and not facts.streams
        is_small = body_bytes <= LARGE_BODY_BYTES and body_bytes <= self.body_limit(match)
        return match if is_usual and is_small else None

    def identify(self, peer: str, told_id: bytes | None, forwarded_for: Sequence[bytes]) -> tuple[str, str]:
        """The request's id and the client's address. What a proxy or a worker of ours says of them is believed."""
        if told_id is not None and self.is_trusted(peer):
            request_id = told_id[:64].decode("latin-1")
        else:
            request_id = self.new_request_id()
        return request_id, client_address(peer, forwarded_for, self.is_trusted)

    async def answer(self, incoming: Incoming, match: Match[Route] | None, sink: Sink) -> Response | Streamed | None:
        """The response; None if it has been written to the sink already. Raises MatrixError."""
        if match is None:
            return Response(204, b"", PREFLIGHT_HEADERS)
        route = match.target
        if route.call is not None:
            return await self.dispatcher.answer(incoming, route.declaration, match.parameters, route.call)
        if self.forwarder is None or incoming.headers.hasHeader(HOP_HEADER):
            raise unavailable(f"No worker serves {route.role} requests at the moment")
        self.observer.request_forwarded(route.role)
        await self.forwarder.forward(incoming, route.role, sink)
        return None
