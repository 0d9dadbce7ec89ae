"""Invitations of this server's users, the first version of the interface, which names no room version.

Spec: server-server API, #inviting-to-a-room.
"""

from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.federation_inbound.invitations import Invitations

VERSION: Final = "1"
"""The format of events is that of versions 1 and 2; servers ask so for no others."""


class InvitesV1:
    """The invitation is signed and kept."""

    def __init__(self, invitations: Invitations) -> None:
        self._invitations = invitations

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/invite/{roomId}/{eventId}",
        auth=Auth.SERVER,
        rate=Rate.INVITE,
        spec="server-server-api/#put_matrixfederationv1inviteroomideventid",
    )
    async def invite(self, request: Request) -> Reply:
        """The event with our signature. The answer has its status in it."""
        body = request.json()
        unsigned = body.get("unsigned")
        shown = unsigned.get("invite_room_state") if isinstance(unsigned, dict) else None
        room_id, event_id = check_room_id(request.path["roomId"]), request.path["eventId"]
        signed = await self._invitations.receive(request.origin, room_id, event_id, VERSION, body, shown)
        return [200, {"event": signed}]
