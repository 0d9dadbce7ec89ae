"""Tokens by which users prove to other services who they are, without giving them their session.

Spec: client-server API, #openid.
"""

from collections.abc import Callable
from typing import Final

from hs_common.http.credentials import hash_token
from hs_common.http.endpoint import Auth, endpoint, r0, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.storage.openid_tokens import add_openid_token, delete_expired_openid_tokens
from hs_common.storage.queries import Queries
from hs_workers.client.accounts.tokens import OPENID_PREFIX, Tokens
from hs_workers.client.own_user import own_user_id

LIFETIME_S: Final = 3600
"""As in the specification's example. The service asks once, at once; the rest is for slow clocks."""
SWEEP_INTERVAL_MS: Final = 10 * 60 * 1000
"""Expired tokens are useless at once; their rows may lie a while."""


class OpenId:
    """`now_ms` is the time of day."""

    def __init__(self, db: Queries, tokens: Tokens, server_name: str, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._tokens = tokens
        self._server_name = server_name
        self._now_ms = now_ms
        self._swept_ms = 0

    @endpoint(
        "POST",
        "/_matrix/client/v3/user/{userId}/openid/request_token",
        auth=Auth.USER,
        aliases=(r0, unstable()),
        spec="client-server-api/#post_matrixclientv3useruseridopenidrequest_token",
    )
    async def request_token(self, request: Request) -> Reply:
        """A token that is good for asking who its user is, and for nothing else."""
        user_id = own_user_id(request, "You can only request tokens for yourself")
        request.json(optional=True)
        await self._sweep()
        token = self._tokens.new(OPENID_PREFIX)
        await add_openid_token(self._db, hash_token(token), user_id, self._now_ms() + LIFETIME_S * 1000)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "matrix_server_name": self._server_name,
            "expires_in": LIFETIME_S,
        }

    async def _sweep(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._swept_ms >= SWEEP_INTERVAL_MS:
            self._swept_ms = now_ms
            await delete_expired_openid_tokens(self._db, now_ms)
