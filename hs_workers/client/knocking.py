"""Knocking on rooms.

Spec: client-server API, #knocking-on-rooms.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.client.joining import named_room, named_servers
from hs_workers.client.membership_body import ReasonBody
from hs_workers.client.room.aliases import Aliases
from hs_workers.client.room.memberships import Memberships


class Knocking:
    """Asks to be let in."""

    def __init__(self, memberships: Memberships, aliases: Aliases) -> None:
        self._memberships = memberships
        self._aliases = aliases

    @endpoint(
        "POST",
        "/_matrix/client/v3/knock/{roomIdOrAlias}",
        auth=Auth.USER,
        rate=Rate.JOIN,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3knockroomidoralias",
    )
    async def knock(self, request: Request) -> Reply:
        """Knocks."""
        body = request.body(ReasonBody, optional=True)
        room = await named_room(self._aliases, request.path["roomIdOrAlias"])
        via = [*named_servers(request), *room.servers]
        await self._memberships.knock(room.room_id, request.requester.user_id, body.reason, via)
        return {"room_id": room.room_id}
