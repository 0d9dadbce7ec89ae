"""The threads of a room.

Spec: client-server API, #querying-threads-in-a-room.
"""

from typing import Final

from hs_common.http.endpoint import Auth, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_workers.client.paging import room_token
from hs_workers.client.room.children import Children

DEFAULT_LIMIT: Final = 20
MAXIMUM_LIMIT: Final = 100
"""Threads on a page: each comes with its newest event."""


class ThreadsList:
    """Roots, the most recently continued first."""

    def __init__(self, children: Children) -> None:
        self._children = children

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/threads",
        auth=Auth.USER,
        aliases=(unstable("org.matrix.msc3856"),),
        spec="client-server-api/#get_matrixclientv1roomsroomidthreads",
    )
    async def get(self, request: Request) -> Reply:
        """A page of roots with their aggregations."""
        query = request.query
        include = query.string("include", "all")
        if include not in ("all", "participated"):
            raise invalid_param("`include` must be `all` or `participated`")
        start, limit = room_token(query, "from"), query.integer("limit", DEFAULT_LIMIT, 1, MAXIMUM_LIMIT)
        room_id, participated = request.path["roomId"], include == "participated"
        return await self._children.threads(room_id, request.requester, start, limit, participated)
