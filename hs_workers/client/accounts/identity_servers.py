"""What identity servers are asked for: to publish an identifier of a user, to take that back, to say whose one is, to
keep an invitation for whoever it belongs to some day.

Rules: only servers that the config trusts. The user's token for the identity server goes there and nowhere else, and is
not kept. What the identity server answers as a Matrix error is told to the client as it is.

Spec: identity service API, #establishing-associations, #association-lookup, #invitation-storage.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson
from twisted.logger import Logger

from hs_common.http.egress.client import EgressClient, Fetched, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_common.matrix.errors import MatrixError, invalid_param
from hs_common.matrix.identifiers import is_server_name, is_user_id
from hs_common.matrix.signing import SigningKey, sign

LIMITS: Final = Limits(total_s=20, body_bytes=64 * 1024)
"""Answers are some lines."""
_V2: Final = "/_matrix/identity/v2"
_NO_UNBIND: Final = (404, 405, 501)
"""(spec) Besides a 400 without a Matrix error: an identity server that takes nothing back."""

_TOKEN: Final = re.compile(r"[!-~]{1,4096}")

_log = Logger()


class IdentityServers:
    """`trusted` are host names, with their port if they have one; empty: all. `key` signs for this server."""

    def __init__(self, egress: EgressClient, trusted: Sequence[str], server_name: str, key: SigningKey) -> None:
        self._egress = egress
        self._trusted = frozenset(trusted)
        self._server_name = server_name
        self._key = key

    def check_trusted(self, id_server: str) -> None:
        """400 `M_SERVER_NOT_TRUSTED`."""
        if not is_server_name(id_server) or (self._trusted and id_server not in self._trusted):
            raise MatrixError(400, "M_SERVER_NOT_TRUSTED", "This identity server is not trusted here")

    async def bind(
        self, id_server: str, access_token: str, session_id: str, client_secret: str, user_id: str
    ) -> tuple[str, str]:
        """Publishes what the session has validated as the user's; its (medium, address)."""
        body = {"sid": session_id, "client_secret": client_secret, "mxid": user_id}
        answer = await self._ask(id_server, "POST", "/3pid/bind", access_token, body)
        medium, address = answer.get("medium"), answer.get("address")
        if not isinstance(medium, str) or not isinstance(address, str):
            raise _unusable(id_server)
        return medium, address

    async def unbind(self, id_server: str, user_id: str, medium: str, address: str) -> bool:
        """Takes back what was published; False if the server does not do that. Signed, since only this server speaks
        for its users."""
        self.check_trusted(id_server)
        path, body = f"{_V2}/3pid/unbind", {"mxid": user_id, "threepid": {"medium": medium, "address": address}}
        fetched = await self._fetch(id_server, "POST", path, self._authorization(id_server, path, body), body)
        if fetched.is_success:
            return True
        error = _matrix_error(fetched)
        if fetched.status in _NO_UNBIND or error is None:
            return False
        raise error

    async def lookup(self, id_server: str, access_token: str, medium: str, address: str) -> str | None:
        """Whose the identifier is, if anybody has published it.

        https://spec.matrix.org/v1.19/identity-service-api/#client-behaviour
        """
        details = await self._ask(id_server, "GET", "/hash_details", access_token)
        pepper, algorithms = details.get("lookup_pepper"), details.get("algorithms")
        if not isinstance(pepper, str) or not isinstance(algorithms, list):
            raise _unusable(id_server)
        algorithm = "sha256" if "sha256" in algorithms else "none"
        asked = f"{address} {medium}" if algorithm == "none" else _hashed(address, medium, pepper)
        body = {"addresses": [asked], "algorithm": algorithm, "pepper": pepper}
        answer = await self._ask(id_server, "POST", "/lookup", access_token, body)
        mappings = answer.get("mappings")
        user_id = mappings.get(asked) if isinstance(mappings, dict) else None
        return user_id if is_user_id(user_id) else None

    async def store_invite(self, id_server: str, access_token: str, invite: Mapping[str, Any]) -> dict[str, Any]:
        """Keeps an invitation: `token`, `public_keys` and `display_name`, as the identity server answers."""
        answer = await self._ask(id_server, "POST", "/store-invite", access_token, invite)
        if not isinstance(answer.get("token"), str) or not isinstance(answer.get("public_keys"), list):
            raise _unusable(id_server)
        return answer

    async def _ask(
        self, id_server: str, method: str, path: str, access_token: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        self.check_trusted(id_server)
        if _TOKEN.fullmatch(access_token) is None:
            raise invalid_param("`id_access_token` is not a token")
        fetched = await self._fetch(id_server, method, _V2 + path, f"Bearer {access_token}", body)
        if not fetched.is_success:
            raise _matrix_error(fetched) or _unusable(id_server)
        answer = _object(fetched.body)
        if answer is None:
            raise _unusable(id_server)
        return answer

    async def _fetch(
        self, id_server: str, method: str, path: str, authorization: str, body: Mapping[str, Any] | None
    ) -> Fetched:
        headers = {"Authorization": authorization, "Accept": "application/json"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = orjson.dumps(body)
        try:
            url = f"https://{id_server}{path}"
            return await self._egress.fetch(Purpose.IDENTITY, method, url, headers, content, LIMITS)
        except EgressError as error:
            _log.info("the identity server {server} was asked in vain: {error}", server=id_server, error=error)
            raise MatrixError(502, "M_UNKNOWN", f"The identity server {id_server} cannot be reached") from error

    def _authorization(self, id_server: str, path: str, body: Mapping[str, Any]) -> str:
        """https://spec.matrix.org/v1.19/server-server-api/#request-authentication"""
        request = {
            "method": "POST",
            "uri": path,
            "origin": self._server_name,
            "destination": id_server,
            "content": body,
        }
        signatures = sign(request, self._server_name, self._key)["signatures"][self._server_name]
        [(key_id, signature)] = signatures.items()
        fields = {"origin": self._server_name, "destination": id_server, "key": key_id, "sig": signature}
        return "X-Matrix " + ",".join(f'{name}="{value}"' for name, value in fields.items())


def _hashed(address: str, medium: str, pepper: str) -> str:
    return urlsafe_b64encode(sha256(f"{address} {medium} {pepper}".encode()).digest()).rstrip(b"=").decode()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _matrix_error(fetched: Fetched) -> MatrixError | None:
    """The error that the identity server has for the client; its own failures are not the client's."""
    answer = _object(fetched.body)
    if answer is None or not isinstance(answer.get("errcode"), str) or not 400 <= fetched.status < 500:
        return None
    # A 401 of the identity server would make the client believe that its session here has ended.
    status = 403 if fetched.status == 401 else fetched.status
    return MatrixError(status, answer["errcode"], str(answer.get("error", "The identity server refused")))


def _unusable(id_server: str) -> MatrixError:
    return MatrixError(502, "M_UNKNOWN", f"The identity server {id_server} did not answer as it should")
