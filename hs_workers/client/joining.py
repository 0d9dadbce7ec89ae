"""Joining rooms.

Spec: client-server API, #joining-rooms.
"""

from typing import Any

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id, is_server_name
from hs_workers.client.room.aliases import MAXIMUM_SERVERS, Aliases, NamedRoom
from hs_workers.client.room.memberships import Memberships


class _Body(msgspec.Struct):
    reason: str | None = None
    third_party_signed: dict[str, Any] | None = None


class Joining:
    """By room id, or by room id or alias."""

    def __init__(self, memberships: Memberships, aliases: Aliases) -> None:
        self._memberships = memberships
        self._aliases = aliases

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/join",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.JOIN,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3roomsroomidjoin",
    )
    async def join_by_id(self, request: Request) -> Reply:
        """Joins the room; nothing happens to who is in it."""
        return await self._join(request, NamedRoom(check_room_id(request.path["roomId"]), []))

    @endpoint(
        "POST",
        "/_matrix/client/v3/join/{roomIdOrAlias}",
        auth=Auth.USER,
        rate=Rate.JOIN,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3joinroomidoralias",
    )
    async def join(self, request: Request) -> Reply:
        """The same, also by alias."""
        return await self._join(request, await named_room(self._aliases, request.path["roomIdOrAlias"]))

    async def _join(self, request: Request, room: NamedRoom) -> Reply:
        body = request.body(_Body, optional=True)
        via = [*named_servers(request), *room.servers]
        await self._memberships.join(room.room_id, request.requester, body.reason, body.third_party_signed, via)
        return {"room_id": room.room_id}


async def named_room(aliases: Aliases, room_id_or_alias: str) -> NamedRoom:
    """The room that a path names. 400 `M_INVALID_PARAM`, 404 `M_NOT_FOUND` for an alias that leads nowhere."""
    if room_id_or_alias.startswith("#"):
        return await aliases.find(room_id_or_alias)
    return NamedRoom(check_room_id(room_id_or_alias), [])


def named_servers(request: Request) -> list[str]:
    """The servers through which the client says that a room can be joined; the second name is the older one."""
    named = [*request.query.strings("via"), *request.query.strings("server_name")]
    return [server for server in named if is_server_name(server)][:MAXIMUM_SERVERS]
