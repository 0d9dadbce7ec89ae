"""Replacing a room by one of another version.

Spec: client-server API, #room-upgrades.
"""

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.client.room.upgrading import Upgrading


class _Body(msgspec.Struct):
    new_version: str
    additional_creators: list[str] | None = None


class RoomUpgrades:
    """For those who may end the old room."""

    def __init__(self, upgrading: Upgrading) -> None:
        self._upgrading = upgrading

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/upgrade",
        auth=Auth.USER,
        rate=Rate.CREATE_ROOM,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3roomsroomidupgrade",
    )
    async def upgrade(self, request: Request) -> Reply:
        """The new room, with what the old one passes on."""
        room_id, body = check_room_id(request.path["roomId"]), request.body(_Body)
        creators = body.additional_creators or []
        user_id = request.requester.user_id
        return {"replacement_room": await self._upgrading.upgrade(room_id, user_id, body.new_version, creators)}
