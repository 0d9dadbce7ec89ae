"""Departures through this server, the first version of the interface.

Spec: server-server API, #leaving-rooms-rejecting-invites.
"""

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.federation_inbound.handshakes import Handshakes, Templates


class LeavingV1:
    """The template, and the old way to send the event."""

    def __init__(self, templates: Templates, handshakes: Handshakes) -> None:
        self._templates = templates
        self._handshakes = handshakes

    @endpoint(
        "GET",
        "/_matrix/federation/v1/make_leave/{roomId}/{userId}",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1make_leaveroomiduserid",
    )
    async def make(self, request: Request) -> Reply:
        """What the leaving user's server is to sign."""
        room_id = check_room_id(request.path["roomId"])
        return await self._templates.make(request.origin, room_id, request.path["userId"], "leave", None)

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send_leave/{roomId}/{eventId}",
        auth=Auth.SERVER,
        spec="server-server-api/#put_matrixfederationv1send_leaveroomideventid",
    )
    async def send(self, request: Request) -> Reply:
        """The user leaves. The answer has its status in it."""
        room_id, event_id = check_room_id(request.path["roomId"]), request.path["eventId"]
        await self._handshakes.receive(request.origin, room_id, event_id, request.json(), "leave")
        return [200, {}]
