"""Whose an OpenID token is: asked by services to which a user has given one.

Spec: server-server API, #openid.
"""

from collections.abc import Callable

from hs_common.http.credentials import hash_token
from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError
from hs_common.storage.openid_tokens import openid_user
from hs_common.storage.queries import Queries


class OpenIdUserInfo:
    """`now_ms` is the time of day."""

    def __init__(self, db: Queries, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms

    @endpoint(
        "GET",
        "/_matrix/federation/v1/openid/userinfo",
        auth=Auth.NONE,
        rate=Rate.UNKNOWN_TOKEN,
        reads=False,
        spec="server-server-api/#get_matrixfederationv1openiduserinfo",
    )
    async def userinfo(self, request: Request) -> Reply:
        """The user. 401 `M_UNKNOWN_TOKEN` for a token that nobody has."""
        token = request.query.string("access_token")
        user_id = await openid_user(self._db, hash_token(token), self._now_ms())
        if user_id is None:
            raise MatrixError(401, "M_UNKNOWN_TOKEN", "Access token unknown or expired")
        return {"sub": user_id}
