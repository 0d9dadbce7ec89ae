"""One OpenID Connect provider: where a browser is sent, and what the code that it brings back says.

Rules: what the provider publishes about itself is believed for an hour, and asked anew when a token is signed by a key
not seen before. Its issuer must be the one in the config. A code is exchanged once, with the proof that we asked for it
(PKCE); nothing of the provider's tokens is kept.

Spec: OpenID Connect Core 1.0, 3.1; OpenID Connect Discovery 1.0; RFC 7636 (PKCE).
"""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from joserfc.jwk import KeySet

from hs_common.config.sso import OidcProvider
from hs_common.http.egress.client import EgressClient, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_workers.client.sso.failures import ProviderFailed
from hs_workers.client.sso.id_token import BadToken, claims_of, is_key_missing, parse_keys

LIMITS: Final = Limits(total_s=15, body_bytes=256 * 1024)
LIFETIME_MS: Final = 3_600_000
"""Of what the provider says of itself."""
KEYS_INTERVAL_MS: Final = 60_000
"""An unknown key makes us look again at most so often: tokens come from outside."""
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Metadata:
    """What we use of the provider's own description."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None


class OidcClient:
    """`now_ms` is the time of day."""

    def __init__(
        self, settings: OidcProvider, callback_url: str, egress: EgressClient, now_ms: Callable[[], int]
    ) -> None:
        self.settings = settings
        self._callback_url = callback_url
        self._egress = egress
        self._now_ms = now_ms
        self._metadata: tuple[int, Metadata] | None = None
        self._keys: tuple[int, KeySet] | None = None

    async def authorization_url(self, state: str, nonce: str, code_verifier: str, *, anew: bool, create: bool) -> str:
        """Where the browser is to go. `anew`: the person is to show again who he is; `create`: to make an account."""
        query = {
            "response_type": "code",
            "response_mode": "query",
            "client_id": self.settings.client_id,
            "redirect_uri": self._callback_url,
            "scope": " ".join(dict.fromkeys(("openid", *self.settings.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": _base64(sha256(code_verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        if anew:
            query |= {"prompt": "login", "max_age": "0"}
        elif create:
            query["prompt"] = "create"
        endpoint = (await self._described()).authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def claims(self, code: str, nonce: str, code_verifier: str) -> Mapping[str, Any]:
        """Who the person is that the code stands for. Raises ProviderFailed."""
        tokens = await self._exchange(code, code_verifier)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise ProviderFailed("the provider gave no ID token")
        claims = await self._verified(id_token, nonce)
        wanted = {self.settings.localpart_claim, self.settings.display_name_claim}
        if wanted <= claims.keys() or not isinstance(access_token, str):
            return claims
        return {**await self._userinfo(access_token, claims["sub"]), **claims}

    async def _exchange(self, code: str, code_verifier: str) -> dict[str, Any]:
        settings, headers = self.settings, dict(_FORM)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback_url,
            "code_verifier": code_verifier,
        }
        if settings.client_secret and settings.client_authentication == "client_secret_basic":
            # RFC 6749, 2.3.1: both are form-encoded before.
            pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = settings.client_id
            if settings.client_secret:
                form["client_secret"] = settings.client_secret
        endpoint = (await self._described()).token_endpoint
        return await self._ask("POST", endpoint, headers, urlencode(form).encode())

    async def _verified(self, id_token: str, nonce: str) -> Mapping[str, Any]:
        try:
            keys = await self._known_keys(LIFETIME_MS)
            if is_key_missing(id_token, keys):
                keys = await self._known_keys(KEYS_INTERVAL_MS)
            settings = self.settings
            return claims_of(id_token, keys, settings.issuer, settings.client_id, nonce, self._now_ms() // 1000)
        except BadToken as error:
            raise ProviderFailed(f"the ID token proves nothing: {error}") from error

    async def _userinfo(self, access_token: str, subject: str) -> dict[str, Any]:
        endpoint = (await self._described()).userinfo_endpoint
        if endpoint is None:
            return {}
        said = await self._ask("GET", endpoint, {"Authorization": f"Bearer {access_token}"})
        # OpenID Connect Core, 5.3.2: of somebody else, it must not be used.
        return said if said.get("sub") == subject else {}

    async def _described(self) -> Metadata:
        """The provider's description, as it was at most an hour ago."""
        now = self._now_ms()
        if self._metadata is None or now - self._metadata[0] > LIFETIME_MS:
            issuer = self.settings.issuer
            said = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", {})
            if said.get("issuer") != issuer:
                raise ProviderFailed(f"the provider says that it is {said.get('issuer')!r}, not {issuer!r}")
            self._metadata = (now, _metadata(said))
        return self._metadata[1]

    async def _known_keys(self, lifetime_ms: int) -> KeySet:
        """The provider's keys, as they were at most that long ago."""
        now = self._now_ms()
        if self._keys is None or now - self._keys[0] > lifetime_ms:
            self._keys = (now, parse_keys(await self._ask("GET", (await self._described()).jwks_uri, {})))
        return self._keys[1]

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> dict[str, Any]:
        try:
            answer = await self._egress.fetch(
                Purpose.SIGN_IN, method, url, {"Accept": "application/json", **headers}, body, LIMITS
            )
        except EgressError as error:
            raise ProviderFailed(f"{url} was asked in vain: {error}") from error
        try:
            said = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict) or not answer.is_success:
            reason = said.get("error_description", said.get("error")) if isinstance(said, dict) else None
            raise ProviderFailed(f"{url} answered {answer.status}: {reason}")
        return said


def _metadata(said: Mapping[str, Any]) -> Metadata:
    def url(name: str) -> str | None:
        value = said.get(name)
        return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None

    authorization, token, keys = url("authorization_endpoint"), url("token_endpoint"), url("jwks_uri")
    if authorization is None or token is None or keys is None:
        raise ProviderFailed("the provider's description lacks an endpoint")
    return Metadata(authorization, token, keys, url("userinfo_endpoint"))


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
