"""Joins through this server, the first version of the interface.

Spec: server-server API, #joining-rooms.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.federation_inbound.handshakes import Templates
from hs_workers.federation_inbound.joins_v2 import JoinsV2

DEFAULT_VERSIONS = ["1"]


class JoinsV1:
    """The template, and the old way to send the event."""

    def __init__(self, templates: Templates, joins: JoinsV2) -> None:
        self._templates = templates
        self._joins = joins

    @endpoint(
        "GET",
        "/_matrix/federation/v1/make_join/{roomId}/{userId}",
        auth=Auth.SERVER,
        rate=Rate.JOIN,
        spec="server-server-api/#get_matrixfederationv1make_joinroomiduserid",
    )
    async def make(self, request: Request) -> Reply:
        """What the joining user's server is to sign."""
        versions = request.query.strings("ver") or DEFAULT_VERSIONS
        room_id = check_room_id(request.path["roomId"])
        return await self._templates.make(request.origin, room_id, request.path["userId"], "join", versions)

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send_join/{roomId}/{eventId}",
        auth=Auth.SERVER,
        rate=Rate.JOIN,
        spec="server-server-api/#put_matrixfederationv1send_joinroomideventid",
    )
    async def send(self, request: Request) -> Reply:
        """The join happens. The answer has its status in it."""
        return await self._joins.answer(request, b"[200,", b"]")
