"""Which guest an access token belongs to, when he wants to stay.

Spec: client-server API, #guest-access.
"""

from hs_common.http.credentials import hash_token
from hs_common.matrix.errors import forbidden, invalid_param
from hs_common.storage.authentication import account_of_token
from hs_common.storage.queries import Queries


class Guests:
    """Finds guests."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    async def named(self, token: str, username: str | None) -> str:
        """The guest's user id. 403 `M_FORBIDDEN` for a token that is no guest's, 400 `M_INVALID_PARAM` where he wants
        another name."""
        row = await account_of_token(self._db, hash_token(token))
        if row is None or not row[3] or row[7]:
            raise forbidden("`guest_access_token` is no guest's access token")
        user_id = str(row[0])
        if username != user_id[1:].partition(":")[0]:
            raise invalid_param("`username` must be the guest's own")
        return user_id
