"""Leaving rooms, and forgetting those that were left.

Spec: client-server API, #leaving-rooms.
"""

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_common.replication.calls import ForgetRoom
from hs_common.replication.link_interface import Link
from hs_workers.client.membership_body import ReasonBody
from hs_workers.client.room.memberships import Memberships
from hs_workers.client.room.notices import Notices


class Leaving:
    """Also rejects invites and takes back knocks. Forgetting is left to the user."""

    def __init__(self, memberships: Memberships, notices: Notices, master: Link) -> None:
        self._memberships = memberships
        self._notices = notices
        self._master = master

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/leave",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidleave",
    )
    async def leave(self, request: Request) -> Reply:
        """Leaves the room."""
        room_id = check_room_id(request.path["roomId"])
        body = request.body(ReasonBody, optional=True)
        await self._notices.check_may_leave(request.requester.user_id, room_id)
        await self._memberships.leave(room_id, request.requester.user_id, body.reason)
        return {}

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/forget",
        auth=Auth.USER,
        aliases=(r0, v1),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidforget",
    )
    async def forget(self, request: Request) -> Reply:
        """Forgets a room that was left. 400 `M_UNKNOWN` for one that was not."""
        room_id = check_room_id(request.path["roomId"])
        await self._master.call(ForgetRoom(user_id=request.requester.user_id, room_id=room_id))
        return {}
