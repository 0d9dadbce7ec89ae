"""Rooms that this server is not in, as its users see them: joining, knocking, leaving through the servers that are.

Whom to ask: who was named, who sent the invite, the server in the room's id, who sent what was shown of it with the
invite or the knock, and who was in the room when this server was.

Spec: client-server API, #joining-rooms, #knocking-on-rooms, #leaving-rooms.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hs_common.federation.joining import RemoteJoins
from hs_common.federation.remote_memberships import RemoteMemberships
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of, is_server_name
from hs_common.storage import federated_rooms, room_state
from hs_common.storage.queries import Queries

SERVERS_LIMIT: Final = 10


class OutsideRooms:
    """`server_name` is this server's."""

    def __init__(self, db: Queries, joins: RemoteJoins, memberships: RemoteMemberships, server_name: str) -> None:
        self._db = db
        self._joins = joins
        self._memberships = memberships
        self._server_name = server_name

    async def is_here(self, room_id: str) -> bool:
        """Whether this server is in the room."""
        return await room_state.server_is_in_room(self._db, room_id, self._server_name)

    async def join(self, room_id: str, user_id: str, content: Mapping[str, Any], via: Iterable[str]) -> bool:
        """False if somebody else has just joined the room, so that it may be here now. Raises MatrixError."""
        return await self._joins.join(room_id, user_id, content, await self._servers(room_id, user_id, via))

    async def join_through_others(
        self, room_id: str, user_id: str, content: Mapping[str, Any], failure: MatrixError
    ) -> bool:
        """Join a room that this server is in, but into which it cannot let the user itself; `failure` says why."""
        servers = await self._servers(room_id, user_id, ())
        if not servers:
            raise MatrixError(403, "M_FORBIDDEN", failure.error)
        return await self._joins.join(room_id, user_id, content, servers)

    async def knock(self, room_id: str, user_id: str, content: Mapping[str, Any], via: Iterable[str]) -> None:
        """Raises MatrixError."""
        await self._memberships.knock(room_id, user_id, content, await self._servers(room_id, user_id, via))

    async def leave(self, room_id: str, user_id: str, content: Mapping[str, Any]) -> bool:
        """End an invite into, or a knock on, a room that this server is not in; false if there is none."""
        standing = await federated_rooms.out_of_band(self._db, room_id, user_id)
        if standing is None or await self.is_here(room_id):
            return False
        version = await self._version(room_id, user_id)
        await self._memberships.leave(room_id, user_id, version, content, await self._servers(room_id, user_id, ()))
        return True

    async def _version(self, room_id: str, user_id: str) -> str:
        known = await room_state.room_version(self._db, room_id)
        return known or await federated_rooms.room_version_told(self._db, room_id, user_id) or "1"

    async def _servers(self, room_id: str, user_id: str, via: Iterable[str]) -> list[str]:
        standing = await federated_rooms.out_of_band(self._db, room_id, user_id)
        inviter = [domain_of(standing[2])] if standing is not None else []
        # Ids of rooms since version 12 name no server, and who knocks is of this one.
        senders = await federated_rooms.senders_told(self._db, room_id, user_id, SERVERS_LIMIT)
        told = [domain_of(sender) for sender in senders]
        before = await federated_rooms.servers_ever(self._db, room_id, SERVERS_LIMIT)
        named = [*inviter, *via, domain_of(room_id), *told, *before]
        others = [server for server in named if is_server_name(server) and server != self._server_name]
        return [*dict.fromkeys(others)][:SERVERS_LIMIT]
