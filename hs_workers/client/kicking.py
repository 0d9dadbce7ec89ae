"""Kicking users out of rooms.

Spec: client-server API, #leaving-rooms.
"""

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.client.membership_body import MembershipBody
from hs_workers.client.room.memberships import Memberships


class Kicking:
    """For members with power."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/kick",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3roomsroomidkick",
    )
    async def kick(self, request: Request) -> Reply:
        """Makes a user leave."""
        room_id, body = check_room_id(request.path["roomId"]), request.body(MembershipBody)
        await self._memberships.kick(room_id, request.requester.user_id, body.user_id, body.reason)
        return {}
