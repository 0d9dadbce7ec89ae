"""`/.well-known/matrix/server` of other domains: fetched once in a while, kept for as long as the answer says.

Rules: an answer holds for at most two days and at least some minutes; a failure for a minute at first, and for up to an
hour when it goes on. What was once good is used on for a while when the domain cannot be asked. A domain is asked once
at a time.

Spec: server-server API, #resolving-server-names (step 3).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hs_common.bounded import Bounded
from hs_common.http.egress.client import EgressClient, Fetched, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_common.matrix.canonical_json import decode
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import is_server_name
from hs_common.under_way import UnderWay

LIMITS: Final = Limits(total_s=8.0, idle_s=5.0, body_bytes=50 * 1024, redirects=5)
DEFAULT_S: Final = 24 * 3600.0
LONGEST_S: Final = 48 * 3600.0
SHORTEST_S: Final = 300.0
"""Whatever the answer says: each request to the server would cost two otherwise."""
FIRST_FAILURE_S: Final = 60.0
LONGEST_FAILURE_S: Final = 3600.0
STALE_S: Final = 3600.0
"""How long a good answer is used on when it cannot be fetched anew."""
KEPT: Final = 20_000
"""Domains; some hundred bytes each."""
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])(?:max-age)=(\d{1,9})", re.IGNORECASE)
_NOT_KEPT: Final = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE)


@dataclass(slots=True)
class _Known:
    delegated: str | None
    until: float
    stale_until: float
    failures: int


class WellKnown:
    """Delegations by domain. `seconds` is a clock that never goes back."""

    def __init__(self, egress: EgressClient, seconds: Callable[[], float]) -> None:
        self._egress = egress
        self._seconds = seconds
        self._known = Bounded[str, _Known](KEPT)
        self._asking = UnderWay[str]()

    async def delegated(self, host: str) -> str | None:
        """The server name that a domain delegates to; None if it does not, or cannot be asked."""
        while host in self._asking:
            await self._asking.end_of(host)
        known = self._known.get(host)
        if known is None or known.until <= self._seconds():
            with self._asking.begun(host):
                known = self._known[host] = await self._look(host, known)
        return known.delegated

    def __len__(self) -> int:
        return len(self._known)

    async def _look(self, host: str, before: _Known | None) -> _Known:
        url = f"https://{host}/.well-known/matrix/server"
        try:
            found = await self._egress.fetch(Purpose.DISCOVERY, "GET", url, limits=LIMITS)
        except EgressError:
            return self._failed(before)
        return self._from_answer(found, before)

    def _from_answer(self, found: Fetched, before: _Known | None) -> _Known:
        delegated = parse_delegation(found)
        if delegated is None:
            return self._failed(before)
        until = self._seconds() + lifetime_s(found.header("cache-control"))
        return _Known(delegated, until, until + STALE_S, 0)

    def _failed(self, before: _Known | None) -> _Known:
        now = self._seconds()
        failures = 1 if before is None else before.failures + 1
        again = now + min(FIRST_FAILURE_S * 2 ** min(failures - 1, 10), LONGEST_FAILURE_S)
        if before is not None and before.delegated is not None and before.stale_until > now:
            return _Known(before.delegated, min(again, before.stale_until), before.stale_until, failures)
        return _Known(None, again, 0.0, failures)


def parse_delegation(found: Fetched) -> str | None:
    """`m.server` of an answer, if it is a good one."""
    if found.status != 200:
        return None
    try:
        value = decode(found.body, LIMITS.body_bytes)
    except MatrixError:
        return None
    delegated = value.get("m.server") if isinstance(value, dict) else None
    return delegated if is_server_name(delegated) else None


def lifetime_s(cache_control: str | None) -> float:
    """For how long an answer holds, by its Cache-Control header."""
    if cache_control is None:
        return DEFAULT_S
    if _NOT_KEPT.search(cache_control):
        return SHORTEST_S
    age = _MAX_AGE.search(cache_control)
    return DEFAULT_S if age is None else min(max(float(age[1]), SHORTEST_S), LONGEST_S)
