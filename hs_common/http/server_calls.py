"""What other servers' requests have of their own: the claims in their headers, and who checks them.

Spec: server-server API, #request-authentication.
"""

from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.web.http_headers import Headers

from hs_common.http.incoming import Incoming
from hs_common.matrix.errors import unauthorized
from hs_common.matrix.request_signing import SCHEME, RequestClaim, parse_authorization

CLAIMS_LIMIT: Final = 4
"""A server may sign with more than one key, and then sends a header for each."""


@dataclass(frozen=True, slots=True)
class ServerCaller:
    """Who calls, once it is proved, and the body's JSON object; None without a body."""

    origin: str
    json: dict[str, Any] | None


class ServerAuthenticator(Protocol):
    """Tells who calls."""

    async def caller(self, incoming: Incoming) -> ServerCaller:
        """Raises MatrixError: 401 for who is not who he says, 403 for whom the config forbids to talk with us."""

    def admit(self, origin: str) -> None:
        """Raises MatrixError 429 for who is to come back later, before anything of his request is read."""


def claims_of(headers: Headers) -> list[RequestClaim]:
    """The claims of a request, at least one, all of one server to one destination. Raises MatrixError 401."""
    values = [value.decode("latin-1") for value in headers.getRawHeaders(b"authorization", ())]
    signed = [value for value in values if value[: len(SCHEME)].lower() == SCHEME.lower()]
    if not signed:
        raise unauthorized("The request must be signed: an Authorization header with X-Matrix is missing")
    claims = [parse_authorization(value) for value in signed[:CLAIMS_LIMIT]]
    if len({(claim.origin, claim.destination) for claim in claims}) > 1:
        raise unauthorized("The Authorization headers contradict each other")
    return claims
