"""Finding users by name.

Spec: client-server API, #user-directory.
"""

from typing import Final

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_workers.client.room.found_users import FoundUsers

DEFAULT_LIMIT: Final = 10
MAXIMUM_LIMIT: Final = 50


class _Body(msgspec.Struct):
    search_term: str
    limit: int = DEFAULT_LIMIT


class Users:
    """Those whom the requester could meet."""

    def __init__(self, found: FoundUsers) -> None:
        self._found = found

    @endpoint(
        "POST",
        "/_matrix/client/v3/user_directory/search",
        auth=Auth.USER,
        rate=Rate.SEARCH,
        aliases=(r0, v1),
        reads=True,
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3user_directorysearch",
    )
    async def search(self, request: Request) -> Reply:
        """The likeliest first. 400 `M_INVALID_PARAM`."""
        body = request.body(_Body)
        if body.limit < 0:
            raise invalid_param("`limit` must not be negative")
        limit = min(body.limit, MAXIMUM_LIMIT)
        results, limited = await self._found.find(request.requester.user_id, body.search_term, limit)
        return {"results": results, "limited": limited}
