"""The published room directory.

Spec: client-server API, #published-room-directory.
"""

from typing import Any, Final

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, forbidden, invalid_param, not_found
from hs_common.matrix.identifiers import is_server_name
from hs_common.reading.directory_request import MAXIMUM_LIMIT, DirectoryRequest
from hs_common.reading.published_rooms import PublishedRooms, Search
from hs_common.reading.room_power import may_send_state
from hs_common.replication.calls import SetDirectory
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_common.storage.room_directory import is_published
from hs_workers.client.remote.directories import RemoteDirectories
from hs_workers.client.room.aliases import CANONICAL_ALIAS

DEFAULT_LIMIT: Final = 50


class _Visibility(msgspec.Struct):
    visibility: str = "public"


class ListPublicRooms:
    """Reading and searching it; publishing rooms."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        rooms: PublishedRooms,
        server_name: str,
        remote: RemoteDirectories | None = None,
    ) -> None:
        self._db = db
        self._master = master
        self._rooms = rooms
        self._server_name = server_name
        self._remote = remote

    @endpoint(
        "GET",
        "/_matrix/client/v3/directory/list/room/{roomId}",
        auth=Auth.NONE,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3directorylistroomroomid",
    )
    async def visibility(self, request: Request) -> Reply:
        """Whether a room is published."""
        published = await is_published(self._db, request.path["roomId"])
        if published is None:
            raise not_found("Room not found")
        return {"visibility": "public" if published else "private"}

    @endpoint(
        "PUT",
        "/_matrix/client/v3/directory/list/room/{roomId}",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#put_matrixclientv3directorylistroomroomid",
    )
    async def set_visibility(self, request: Request) -> Reply:
        """Publishes a room or takes it back: for those who may set its canonical alias, and administrators."""
        room_id, requester = request.path["roomId"], request.requester
        visibility = request.body(_Visibility, optional=True).visibility
        if visibility not in ("public", "private"):
            raise bad_json("`visibility` must be `public` or `private`")
        if await is_published(self._db, room_id) is None:
            raise not_found("Room not found")
        if not requester.admin and not await may_send_state(self._db, room_id, requester.user_id, CANONICAL_ALIAS):
            raise forbidden("You may not publish this room")
        await self._master.call(SetDirectory(room_id=room_id, is_public=visibility == "public"))
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/v3/publicRooms",
        auth=Auth.NONE,
        rate=Rate.SEARCH,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3publicrooms",
    )
    async def list(self, request: Request) -> Reply:
        """A page of the directory."""
        server = self._other_server(request)
        limit = request.query.integer("limit", DEFAULT_LIMIT, 1, MAXIMUM_LIMIT)
        since = request.query.string("since", None) or None
        if server is not None:
            return await self._elsewhere(server, {"limit": limit, **({} if since is None else {"since": since})})
        return await self._rooms.find(Search(limit, since))

    @endpoint(
        "POST",
        "/_matrix/client/v3/publicRooms",
        auth=Auth.USER,
        rate=Rate.SEARCH,
        aliases=(r0, v1),
        reads=True,
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3publicrooms",
    )
    async def search(self, request: Request) -> Reply:
        """The same of what matches a filter."""
        server = self._other_server(request)
        body = request.body(DirectoryRequest, optional=True)
        limit = DEFAULT_LIMIT if body.limit is None else body.limit
        if limit < 1:
            raise invalid_param("`limit` must be greater than 0")
        search = body.search(limit)
        if server is not None:
            return await self._elsewhere(server, _search_elsewhere(body, search.limit))
        return await self._rooms.find(search)

    def _other_server(self, request: Request) -> str | None:
        """The server whose directory is wanted; None for our own."""
        server = request.query.string("server", None)
        if not server or server == self._server_name:
            return None
        if not is_server_name(server):
            raise invalid_param("`server` must be a server name")
        return server

    async def _elsewhere(self, server: str, search: dict[str, Any]) -> dict[str, Any]:
        if self._remote is None:
            raise not_found(f"The server {server} cannot be asked for its rooms")
        return await self._remote.find(server, search)


def _search_elsewhere(body: DirectoryRequest, limit: int) -> dict[str, Any]:
    """The search as another server is asked for it."""
    given = {name: value for name, value in msgspec.to_builtins(body).items() if value}
    if body.filter is not None:
        given["filter"] = {name: value for name, value in msgspec.to_builtins(body.filter).items() if value}
    return {**given, "limit": limit}
