"""Exchanging a refresh token.

Spec: client-server API, #refreshing-access-tokens.
"""

from collections.abc import Callable

from hs_common.http.credentials import hash_token
from hs_common.http.endpoint import Auth, Rate, endpoint, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import unknown_token
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_common.storage.sessions import account_of_refresh_token
from hs_workers.client.accounts.account_states import user_locked
from hs_workers.client.accounts.json_fields import string
from hs_workers.client.accounts.tokens import Tokens


class Refresh:
    """`now_ms` is the time of day."""

    def __init__(self, db: Queries, master: Link, tokens: Tokens, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._master = master
        self._tokens = tokens
        self._now_ms = now_ms

    @endpoint(
        "POST",
        "/_matrix/client/v3/refresh",
        auth=Auth.NONE,
        rate=Rate.LOGIN,
        aliases=(v1,),
        spec="client-server-api/#post_matrixclientv3refresh",
    )
    async def refresh(self, request: Request) -> Reply:
        """New tokens. The old ones die when one of the new is first used.

        401 `M_UNKNOWN_TOKEN`, with `soft_logout` where logging in again brings the device back.
        """
        refresh_hash = hash_token(string(request.json(), "refresh_token"))
        row = await account_of_refresh_token(self._db, refresh_hash)
        if row is None:
            raise unknown_token()
        user_id, expires_at_ms, locked = row
        if locked:
            raise user_locked()
        if expires_at_ms is not None and expires_at_ms <= self._now_ms():
            raise unknown_token(soft_logout=True)
        call, answer = self._tokens.refreshed(user_id, refresh_hash)
        await self._master.call(call)
        return answer
