"""Joins through this server.

Spec: server-server API, #joining-rooms.
"""

import orjson

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import JSON_CONTENT_TYPE, Reply, Streamed
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.federation_inbound.handshakes import Handshakes
from hs_workers.federation_inbound.room_answers import RoomAnswers


class JoinsV2:
    """The whole state is always told; leaving members out is an offer that no server has to take."""

    def __init__(self, handshakes: Handshakes, answers: RoomAnswers, server_name: str) -> None:
        self._handshakes = handshakes
        self._answers = answers
        self._server_name = server_name

    @endpoint(
        "PUT",
        "/_matrix/federation/v2/send_join/{roomId}/{eventId}",
        auth=Auth.SERVER,
        rate=Rate.JOIN,
        spec="server-server-api/#put_matrixfederationv2send_joinroomideventid",
    )
    async def send(self, request: Request) -> Reply:
        """The join happens. The answer is the room as it was before it."""
        return await self.answer(request)

    async def answer(self, request: Request, before: bytes = b"", after: bytes = b"") -> Reply:
        """The answer, between two pieces of JSON."""
        room_id, event_id = check_room_id(request.path["roomId"]), request.path["eventId"]
        room, event = await self._handshakes.receive(request.origin, room_id, event_id, request.json(), "join")
        head = {
            "origin": self._server_name,
            "members_omitted": False,
            "servers_in_room": await self._answers.servers(room_id),
            "event": orjson.Fragment(event.encoded),
        }
        source = await self._answers.told(room, event, before + orjson.dumps(head)[:-1], b"}" + after)
        return Streamed(200, {"Content-Type": JSON_CONTENT_TYPE}, None, source)
