"""Requests to application services: the specified paths first, the older ones where a service does not know those.

Rules: a service is wherever its registration says, in private networks too. An answer is bounded in size and time. What
works for a service is remembered for an hour, so that an updated one is asked in the newer way again. The token travels
in a header; in the query string only where a service has shown that it is an old one.

Spec: application-service-api/#authorisation, #legacy-routes.
"""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from hs_common.appservices.connections import Connections
from hs_common.appservices.http_answer import HttpAnswer
from hs_common.http.egress.failures import EgressError
from hs_common.version import VERSION

REQUEST_TIMEOUT_S: Final = 30.0
"""Of everything that is asked: the successor of a worker that hangs may have to wait for it."""
REMEMBERED_S: Final = 3600.0

V1: Final = "/_matrix/app/v1"
_OLD_THIRD_PARTY: Final = "/_matrix/app/unstable"
_UNKNOWN_PATH: Final = (404, 405, 501)
_WRONG_TOKEN: Final = (401, 403)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a service is, and how it knows us."""

    service_id: str
    url: str
    hs_token: str


class Unreachable(Exception):
    """There was no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a service is asked: under the older paths, with the token in the query string."""

    is_legacy: bool = False
    has_token_in_query: bool = False


_NEWEST: Final = _Way()


class ServiceClient:
    """Asks services. `reactor` opens connections and keeps time."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._connections: Connections | None = None  # most workers never ask a service
        self._ways: dict[str, tuple[_Way, float]] = {}

    async def close(self) -> None:
        """Closes the idle connections."""
        if self._connections is not None:
            self._connections.close()

    async def ask(
        self,
        to: Destination,
        method: str,
        path: str,
        body: bytes | None = None,
        query: dict[str, str] | None = None,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> HttpAnswer:
        """`path` is what stands behind the prefix, such as `/users/@a:b`, percent-encoded. Raises Unreachable."""
        way = self._way(to.service_id)
        answer = await self._once(to, way, method, path, body, query or {}, timeout_s)
        for other in _others(way, answer):
            second = await self._once(to, other, method, path, body, query or {}, timeout_s)
            if second.is_success:
                self._ways[to.service_id] = (other, self._reactor.seconds())
            if second.is_success or second.status not in (*_UNKNOWN_PATH, *_WRONG_TOKEN):
                return second
        return answer

    def _way(self, service_id: str) -> _Way:
        way, since = self._ways.get(service_id, (_NEWEST, 0.0))
        if way is not _NEWEST and self._reactor.seconds() - since > REMEMBERED_S:
            del self._ways[service_id]
            return _NEWEST
        return way

    async def _once(
        self,
        to: Destination,
        way: _Way,
        method: str,
        path: str,
        body: bytes | None,
        query: dict[str, str],
        timeout_s: float,
    ) -> HttpAnswer:
        parameters = {**query, "access_token": to.hs_token} if way.has_token_in_query else query
        asked = _prefix(path, way.is_legacy) + path + (f"?{urlencode(parameters)}" if parameters else "")
        headers = [("Authorization", f"Bearer {to.hs_token}"), ("User-Agent", f"Viaduct/{VERSION}")]
        if body is not None:
            headers.append(("Content-Type", "application/json"))
        if self._connections is None:
            self._connections = Connections(self._reactor)
        try:
            return await self._connections.ask(method, to.url, asked, headers, body, timeout_s)
        except (EgressError, ValueError) as error:  # a registration may say what is no URL, a query what fits in none
            raise Unreachable(_reason(error)) from error


def _prefix(path: str, is_legacy: bool) -> str:
    if not is_legacy:
        return V1
    return _OLD_THIRD_PARTY if path.startswith("/thirdparty") else ""


def _others(way: _Way, answer: HttpAnswer) -> list[_Way]:
    """Other ways to ask after this answer, the likelier first."""
    if way.is_legacy:
        return []
    if answer.status in _WRONG_TOKEN and not way.has_token_in_query:
        return [_Way(has_token_in_query=True), _Way(is_legacy=True, has_token_in_query=True)]
    if answer.status in _UNKNOWN_PATH:
        return [_Way(is_legacy=True, has_token_in_query=True)]
    return []


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
