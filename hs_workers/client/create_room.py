"""Making rooms.

Spec: client-server API, #creation.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.client.room.creating import Creating, Wishes


class CreateRoomEndpoint:
    """Every registered user may make rooms."""

    def __init__(self, creating: Creating) -> None:
        self._creating = creating

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
        return {"room_id": await self._creating.create(request.requester.user_id, wishes)}
