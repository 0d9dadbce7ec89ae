"""Making rooms.

Spec: client-server API, #creation.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.client.room.aliases import Aliases
from hs_workers.client.room.creating import Creating, Wishes


class CreateRoomEndpoint:
    """Every registered user may make rooms."""

    def __init__(self, creating: Creating, aliases: Aliases) -> None:
        self._creating = creating
        self._aliases = aliases

    @endpoint(
        "POST",
        "/_matrix/client/v3/createRoom",
        auth=Auth.USER,
        rate=Rate.CREATE_ROOM,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3createroom",
    )
    async def create(self, request: Request) -> Reply:
        """A new room with its first state."""
        wishes = request.body(Wishes)
        if wishes.room_alias_name:
            await self._aliases.check_not_reserved(request.requester, wishes.room_alias_name)
        return {"room_id": await self._creating.create(request.requester.user_id, wishes)}
