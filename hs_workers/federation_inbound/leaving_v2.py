"""Departures through this server: also rejected invites and knocks taken back.

Spec: server-server API, #leaving-rooms-rejecting-invites.
"""

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.federation_inbound.handshakes import Handshakes


class LeavingV2:
    """Sends the event."""

    def __init__(self, handshakes: Handshakes) -> None:
        self._handshakes = handshakes

    @endpoint(
        "PUT",
        "/_matrix/federation/v2/send_leave/{roomId}/{eventId}",
        auth=Auth.SERVER,
        spec="server-server-api/#put_matrixfederationv2send_leaveroomideventid",
    )
    async def send(self, request: Request) -> Reply:
        """The user leaves."""
        room_id, event_id = check_room_id(request.path["roomId"]), request.path["eventId"]
        await self._handshakes.receive(request.origin, room_id, event_id, request.json(), "leave")
        return {}
