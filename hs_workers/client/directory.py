"""Room aliases.

Spec: client-server API, #room-aliases.
"""

import msgspec

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.reading.room_view import RoomViews, not_a_member
from hs_common.storage.queries import Queries
from hs_common.storage.room_directory import room_aliases
from hs_workers.client.room.aliases import Aliases
from hs_workers.client.room.reading import reader_of


class _Body(msgspec.Struct):
    room_id: str


class Directory:
    """Setting, reading and removing them, and those of one room."""

    def __init__(self, db: Queries, aliases: Aliases, views: RoomViews) -> None:
        self._db = db
        self._aliases = aliases
        self._views = views

    @endpoint(
        "PUT",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#put_matrixclientv3directoryroomroomalias",
    )
    async def set(self, request: Request) -> Reply:
        """Makes an alias."""
        body = request.body(_Body)
        await self._aliases.set(request.requester, request.path["roomAlias"], body.room_id)
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        auth=Auth.NONE,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3directoryroomroomalias",
    )
    async def get(self, request: Request) -> Reply:
        """The room that an alias leads to."""
        found = await self._aliases.find(request.path["roomAlias"])
        return {"room_id": found.room_id, "servers": found.servers or await self._aliases.servers(found.room_id)}

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#delete_matrixclientv3directoryroomroomalias",
    )
    async def delete(self, request: Request) -> Reply:
        """Removes an alias."""
        await self._aliases.remove(request.requester, request.path["roomAlias"])
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/aliases",
        auth=Auth.USER,
        aliases=(r0, "/_matrix/client/unstable/org.matrix.msc2432/rooms/{roomId}/aliases"),
        spec="client-server-api/#get_matrixclientv3roomsroomidaliases",
    )
    async def list(self, request: Request) -> Reply:
        """This server's aliases of a room, for its members, or for all if it is world-readable."""
        room_id = request.path["roomId"]
        view = await self._views.view(room_id, reader_of(request.requester))
        if view is None or not (view.is_joined or view.is_world_readable):
            raise not_a_member()
        return {"aliases": await room_aliases(self._db, room_id)}
