"""Asks push gateways: one question, one of three outcomes. Bounded: so many at once for one gateway.

Spec: push-gateway-api/#post_matrixpushv1notify.
"""

from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import orjson
from twisted.internet.defer import DeferredSemaphore

from hs_common.http.egress.client import Fetched, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError

AT_ONCE: Final = 32
"""Requests of this process to one gateway. Most users have the same one, their app's maker's."""
LIMITS: Final = Limits(total_s=30.0, idle_s=30.0, body_bytes=64 * 1024)
"""Shares may change hands in a worker's silence: 30 s is what a successor has to reckon with."""
LONGEST_RETRY_AFTER_S: Final = 3600.0


class Egress(Protocol):
    """What is used of `hs_common.http.egress.client.EgressClient`."""

    async def fetch(
        self,
        purpose: Purpose,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        limits: Limits | None = None,
    ) -> Fetched:
        """Raises EgressError."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The gateway answers for it. `rejected`: keys that it wants to hear nothing of any more."""

    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """It did not, and may be asked again. `retry_after_s`: not sooner than it said."""

    why: str
    retry_after_s: float = 0.0


class Gateways:
    """Asks, a few at a time."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._turns: dict[str, DeferredSemaphore] = {}

    async def turn(self, url: str) -> DeferredSemaphore:
        """Waits until this gateway may be asked. To be released."""
        host = urlsplit(url).netloc
        turns = self._turns.setdefault(host, DeferredSemaphore(AT_ONCE))
        await turns.acquire()
        return turns

    def tidy(self) -> None:
        """Forgets gateways that nobody asks just now."""
        self._turns = {
            host: turns for host, turns in self._turns.items() if turns.tokens < turns.limit or turns.waiting
        }

    async def notify(self, url: str, body: dict[str, Any]) -> Taken | Refused:
        """Tells the gateway of one notification."""
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._egress.fetch(Purpose.PUSH, "POST", url, headers, orjson.dumps(body), LIMITS)
        except EgressError as error:
            return Refused(f"{error.kind}: {error}")
        if not answer.is_success:
            return Refused(f"status {answer.status}: {_shown(answer.body)}", _retry_after(answer))
        return Taken(_rejected(answer.body))


def _rejected(body: bytes) -> tuple[str, ...]:
    """What is no answer as specified rejects nothing: the gateway said 200."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    rejected = parsed.get("rejected") if isinstance(parsed, dict) else None
    return tuple(key for key in rejected if isinstance(key, str)) if isinstance(rejected, list) else ()


def _retry_after(answer: Fetched) -> float:
    value = answer.header("Retry-After") or ""
    return min(LONGEST_RETRY_AFTER_S, float(value)) if value.isascii() and value.isdigit() else 0.0


def _shown(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace").replace("\0", "")
