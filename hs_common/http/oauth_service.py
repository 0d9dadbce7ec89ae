"""The authentication service of a server that leaves accounts to one: what it says of itself, and of tokens.

Rules: it is asked with the secret that both know. What it says of itself is believed for ten minutes. Whether it can be
reached is its own trouble: then requests are answered 503, and nobody is logged out.

Spec: client-server API, #oauth-20-api; RFC 7662 (introspection), RFC 8414 (metadata).
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from twisted.logger import Logger

from hs_common.config.oauth import OAuth
from hs_common.http.egress.client import EgressClient, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_common.matrix.errors import MatrixError

LIMITS: Final = Limits(total_s=10, body_bytes=256 * 1024)
METADATA_LIFETIME_MS: Final = 10 * 60 * 1000

_log = Logger()


class OAuthService:
    """`now_ms` is the time of day."""

    def __init__(self, settings: OAuth, egress: EgressClient, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self._base = (settings.endpoint or settings.issuer).rstrip("/")
        self._egress = egress
        self._now_ms = now_ms
        self._metadata: tuple[int, dict[str, Any]] | None = None

    async def metadata(self) -> dict[str, Any]:
        """What the service publishes, for clients. 503 `M_UNKNOWN` while it cannot be asked."""
        now_ms = self._now_ms()
        if self._metadata is None or now_ms - self._metadata[0] > METADATA_LIFETIME_MS:
            said = await self._ask("GET", f"{self._base}/.well-known/openid-configuration", {})
            if self.settings.account_management_url:
                said["account_management_uri"] = self.settings.account_management_url
            self._metadata = (now_ms, said)
        return self._metadata[1]

    async def account_management_url(self) -> str | None:
        """Where people manage their accounts."""
        url = self.settings.account_management_url or (await self.metadata()).get("account_management_uri")
        return url if isinstance(url, str) else None

    @property
    def known_management_url(self) -> str:
        """The same, by what it said last; its own URL until it says one."""
        said = {} if self._metadata is None else self._metadata[1]
        url = self.settings.account_management_url or said.get("account_management_uri")
        return url if isinstance(url, str) else self.settings.issuer

    async def introspect(self, token: str) -> dict[str, Any]:
        """What the service says of a token: `active`, and if it is, `scope`, `username` and more."""
        body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
        endpoint = (await self.metadata()).get("introspection_endpoint")
        # Its own URL is for the public; the path below is where we reach it.
        path = endpoint.removeprefix(self.settings.issuer.rstrip("/")) if isinstance(endpoint, str) else ""
        url = f"{self._base}{path}" if path.startswith("/") else endpoint or f"{self._base}/oauth2/introspect"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": self._authorization()}
        return await self._ask("POST", url, headers, body)

    def _authorization(self) -> str:
        settings = self.settings
        if not settings.client_id:
            return f"Bearer {settings.secret}"
        pair = f"{quote(settings.client_id, safe='')}:{quote(settings.secret, safe='')}"
        return f"Basic {b64encode(pair.encode()).decode()}"

    async def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, Any]:
        sent = {"Accept": "application/json", **headers}
        try:
            answer = await self._egress.fetch(Purpose.SIGN_IN, method, url, sent, body, LIMITS)
            said = orjson.loads(answer.body) if answer.is_success else None
        except (EgressError, orjson.JSONDecodeError) as error:
            _log.error("the authentication service was asked in vain: {error}", error=error)
            raise _unavailable() from error
        if not isinstance(said, dict):
            _log.error("the authentication service answers {url} with {status}", url=url, status=answer.status)
            raise _unavailable()
        return said


def _unavailable() -> MatrixError:
    return MatrixError(503, "M_UNKNOWN", "The authentication service cannot be reached. Try again later")
