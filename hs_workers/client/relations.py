"""The events that relate to an event.

Spec: client-server API, #relationships-api.
"""

from typing import Final

from hs_common.http.endpoint import Auth, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.client.paging import is_forwards, room_token
from hs_workers.client.room.children import Children, Wanted

DEFAULT_LIMIT: Final = 50
MAXIMUM_LIMIT: Final = 500
"""Children on a page; a popular event has thousands of reactions."""


class Relations:
    """All of them, those of a type of relationship, those of a type of event besides."""

    def __init__(self, children: Children) -> None:
        self._children = children

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}",
        auth=Auth.USER,
        aliases=(unstable(),),
        spec="client-server-api/#get_matrixclientv1roomsroomidrelationseventid",
    )
    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}",
        auth=Auth.USER,
        aliases=(unstable(),),
        spec="client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltype",
    )
    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}",
        auth=Auth.USER,
        aliases=(unstable(),),
        spec="client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltypeeventtype",
    )
    async def get(self, request: Request) -> Reply:
        """A page of children, the newest first unless told."""
        path, query = request.path, request.query
        wanted = Wanted(
            rel_type=path.get("relType"),
            event_type=path.get("eventType"),
            start=room_token(query, "from"),
            stop=room_token(query, "to"),
            forwards=is_forwards(query, "b"),
            limit=query.integer("limit", DEFAULT_LIMIT, 1, MAXIMUM_LIMIT),
            recurse=query.boolean("recurse", None),
        )
        return await self._children.of(path["roomId"], request.requester, path["eventId"], wanted)
