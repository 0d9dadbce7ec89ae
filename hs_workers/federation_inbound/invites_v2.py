"""Invitations of this server's users.

Spec: server-server API, #inviting-to-a-room.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, missing_param
from hs_common.matrix.identifiers import check_room_id
from hs_workers.federation_inbound.invitations import Invitations


class InvitesV2:
    """The invitation is signed and kept."""

    def __init__(self, invitations: Invitations) -> None:
        self._invitations = invitations

    @endpoint(
        "PUT",
        "/_matrix/federation/v2/invite/{roomId}/{eventId}",
        auth=Auth.SERVER,
        rate=Rate.INVITE,
        spec="server-server-api/#put_matrixfederationv2inviteroomideventid",
    )
    async def invite(self, request: Request) -> Reply:
        """The event with our signature."""
        body = request.json()
        version, event = body.get("room_version"), body.get("event")
        if version is None or event is None:
            raise missing_param("An invite needs `room_version` and `event`")
        if not isinstance(version, str) or not isinstance(event, dict):
            raise bad_json("`room_version` must be a string and `event` an object")
        room_id, event_id = check_room_id(request.path["roomId"]), request.path["eventId"]
        shown = body.get("invite_room_state")
        signed = await self._invitations.receive(request.origin, room_id, event_id, version, event, shown)
        return {"event": signed}
