"""Banning users from rooms.

Spec: client-server API, #banning-users-in-a-room.
"""

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.client.membership_body import MembershipBody
from hs_workers.client.room.memberships import Memberships


class Banning:
    """For members with power."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/ban",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3roomsroomidban",
    )
    async def ban(self, request: Request) -> Reply:
        """Keeps a user out, in the room or not."""
        room_id, body = check_room_id(request.path["roomId"]), request.body(MembershipBody)
        await self._memberships.ban(room_id, request.requester.user_id, body.user_id, body.reason)
        return {}

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/unban",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3roomsroomidunban",
    )
    async def unban(self, request: Request) -> Reply:
        """Allows a user to come back, who is out until he does."""
        room_id, body = check_room_id(request.path["roomId"]), request.body(MembershipBody)
        await self._memberships.unban(room_id, request.requester.user_id, body.user_id, body.reason)
        return {}
