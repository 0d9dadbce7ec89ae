"""Whether another server may ask about a room at all: this server must be in it, so must the other, and the room's
access control list must let it.

Spec: server-server API, #server-access-control-lists-acls.
"""

from dataclasses import dataclass

import orjson

from hs_common.matrix.errors import forbidden, not_found
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.server_acl import ServerAcl, denied
from hs_common.storage import server_views
from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class RoomStanding:
    """How another server stands to a room that this one is in. `is_inside`: it has joined users there."""

    room_id: str
    version: RoomVersion
    is_inside: bool


class Rooms:
    """Lets servers in."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name

    async def standing(self, room_id: str, origin: str) -> RoomStanding:
        """404 `M_NOT_FOUND` for a room that this server is not in, 403 `M_FORBIDDEN` for a server that the room's
        list denies."""
        found = await server_views.standing(self._db, room_id, origin, self._server_name)
        if found is None or not found[1]:
            raise not_found("This server is not in the room")
        version, _, is_inside, acl = found
        if acl is not None and not ServerAcl(orjson.loads(acl)["content"]).allows(origin):
            raise denied(origin)
        return RoomStanding(room_id, ROOM_VERSIONS[version], is_inside)

    async def inside(self, room_id: str, origin: str) -> RoomStanding:
        """The same, and 403 `M_FORBIDDEN` for a server that is not in the room."""
        standing = await self.standing(room_id, origin)
        if not standing.is_inside:
            raise forbidden(f"{origin} is not in the room")
        return standing
