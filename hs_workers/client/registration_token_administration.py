"""Registration tokens, at the paths and in the forms that administration tools use.

Not in the specification. Every endpoint is for administrators of this server alone.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, invalid_param, not_found
from hs_common.storage import registration_tokens as stored
from hs_common.storage.queries import Queries
from hs_common.storage.registration_tokens import RegistrationToken
from hs_workers.client.accounts.json_fields import optional_string

PATH: Final = "/_synapse/admin/v1/registration_tokens"
LENGTH_LIMIT: Final = 64
"""(spec) Characters of a token."""
USES_LIMIT: Final = (1 << 31) - 1
EXPIRY_LIMIT_MS: Final = 1 << 53
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")


class RegistrationTokenAdministration:
    """`random(n)` gives n unpredictable bytes; `now_ms` is the time of day."""

    def __init__(self, db: Queries, now_ms: Callable[[], int], random: Callable[[int], bytes]) -> None:
        self._db = db
        self._now_ms = now_ms
        self._random = random

    @endpoint("GET", PATH, auth=Auth.ADMIN, spec="Synapse's admin API, registration tokens")
    async def list_all(self, request: Request) -> Reply:
        """All tokens, or those that would be accepted, or would not."""
        found = await stored.tokens(self._db, request.query.boolean("valid"), self._now_ms())
        return {"registration_tokens": [_told(token) for token in found]}

    @endpoint("POST", f"{PATH}/new", auth=Auth.ADMIN, spec="Synapse's admin API, registration tokens")
    async def make(self, request: Request) -> Reply:
        """A new token: the one that is asked for, or a random one of `length`."""
        body = request.json(optional=True)
        token = optional_string(body, "token")
        if token is None:
            length = _integer(body, "length", LENGTH_LIMIT) or 16
            token = urlsafe_b64encode(self._random(LENGTH_LIMIT)).decode().replace("=", "")[:length]
        if _TOKEN.fullmatch(token) is None:
            raise invalid_param("A token has 1 to 64 characters of A-Z, a-z, 0-9 and . _ ~ -")
        uses_allowed, expires_at_ms = _limits(body, None, self._now_ms())
        if not await stored.add_token(self._db, token, uses_allowed, expires_at_ms):
            raise MatrixError(400, "M_INVALID_PARAM", "There is such a token already")
        return _told(await self._known(token))

    @endpoint("GET", f"{PATH}/{{token}}", auth=Auth.ADMIN, spec="Synapse's admin API, registration tokens")
    async def get(self, request: Request) -> Reply:
        """One token."""
        return _told(await self._known(request.path["token"]))

    @endpoint("PUT", f"{PATH}/{{token}}", auth=Auth.ADMIN, spec="Synapse's admin API, registration tokens")
    async def put(self, request: Request) -> Reply:
        """Changes the limits that are given."""
        known = await self._known(request.path["token"])
        uses_allowed, expires_at_ms = _limits(request.json(), known, self._now_ms())
        await stored.change_token(self._db, known.token, uses_allowed, expires_at_ms)
        return _told(await self._known(known.token))

    @endpoint("DELETE", f"{PATH}/{{token}}", auth=Auth.ADMIN, spec="Synapse's admin API, registration tokens")
    async def delete(self, request: Request) -> Reply:
        """Ends a token."""
        if not await stored.delete_token(self._db, request.path["token"]):
            raise not_found("There is no such token")
        return {}

    async def _known(self, token: str) -> RegistrationToken:
        found = await stored.token_row(self._db, token)
        if found is None:
            raise not_found("There is no such token")
        return found


def _limits(body: dict[str, Any], known: RegistrationToken | None, now_ms: int) -> tuple[int | None, int | None]:
    """`uses_allowed` and `expiry_time` of the body; what is not in it stays as it is known."""
    uses_allowed = None if known is None else known.uses_allowed
    expires_at_ms = None if known is None else known.expires_at_ms
    if "uses_allowed" in body:
        uses_allowed = _integer(body, "uses_allowed", USES_LIMIT)
    if "expiry_time" in body:
        expires_at_ms = _integer(body, "expiry_time", EXPIRY_LIMIT_MS)
        if expires_at_ms is not None and expires_at_ms <= now_ms:
            raise invalid_param("`expiry_time` is over already")
    return uses_allowed, expires_at_ms


def _integer(body: dict[str, Any], key: str, limit: int) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise invalid_param(f"`{key}` must be a whole number up to {limit}, or null")
    return value


def _told(token: RegistrationToken) -> dict[str, Any]:
    return {
        "token": token.token,
        "uses_allowed": token.uses_allowed,
        "pending": token.pending,
        "completed": token.completed,
        "expiry_time": token.expires_at_ms,
    }
