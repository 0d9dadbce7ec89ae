"""Knocks through this server.

Spec: server-server API, #knocking-rooms.
"""

import orjson

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.federation_inbound.handshakes import Handshakes, Templates
from hs_workers.federation_inbound.room_answers import RoomAnswers


class Knocks:
    """The template and the event."""

    def __init__(self, templates: Templates, handshakes: Handshakes, answers: RoomAnswers) -> None:
        self._templates = templates
        self._handshakes = handshakes
        self._answers = answers

    @endpoint(
        "GET",
        "/_matrix/federation/v1/make_knock/{roomId}/{userId}",
        auth=Auth.SERVER,
        rate=Rate.JOIN,
        spec="server-server-api/#get_matrixfederationv1make_knockroomiduserid",
    )
    async def make(self, request: Request) -> Reply:
        """What the knocking user's server is to sign."""
        room_id, versions = check_room_id(request.path["roomId"]), request.query.strings("ver")
        return await self._templates.make(request.origin, room_id, request.path["userId"], "knock", versions)

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send_knock/{roomId}/{eventId}",
        auth=Auth.SERVER,
        rate=Rate.JOIN,
        spec="server-server-api/#put_matrixfederationv1send_knockroomideventid",
    )
    async def send(self, request: Request) -> Reply:
        """The knock happens. The answer tells what the room is."""
        room_id, event_id = check_room_id(request.path["roomId"]), request.path["eventId"]
        _, event = await self._handshakes.receive(request.origin, room_id, event_id, request.json(), "knock")
        shown = await self._answers.identifying(room_id, event.event.sender)
        return {"knock_room_state": [orjson.Fragment(pdu) for pdu in shown]}
