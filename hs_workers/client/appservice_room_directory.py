"""The directories of rooms that application services publish for their networks.

Spec: application-service API, #published-room-directories.
"""

import msgspec

from hs_common.appservices.registry import ServiceRegistry
from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, forbidden, not_found
from hs_common.matrix.identifiers import check_room_id, is_short
from hs_common.storage import room_state
from hs_common.storage.appservices import publish_room, withdraw_room
from hs_common.storage.queries import Queries


class _Body(msgspec.Struct):
    visibility: str


class AppServiceRoomDirectory:
    """Each service has its own directory for each of its networks."""

    def __init__(self, db: Queries, services: ServiceRegistry) -> None:
        self._db = db
        self._services = services

    @endpoint(
        "PUT",
        "/_matrix/client/v3/directory/list/appservice/{networkId}/{roomId}",
        auth=Auth.USER,
        aliases=(r0,),
        spec="application-service-api/#put_matrixclientv3directorylistappservicenetworkidroomid",
    )
    async def set(self, request: Request) -> Reply:
        """Publishes a room in the directory of a network, or withdraws it."""
        network_id, room_id = request.path["networkId"], check_room_id(request.path["roomId"])
        service = (await self._services.services()).get(request.requester.app_service_id)
        if service is None:
            raise forbidden("Only application services have directories of their networks")
        visibility = request.body(_Body).visibility
        if visibility not in ("public", "private"):
            raise bad_json("`visibility` must be `public` or `private`")
        if not is_short(network_id):
            raise bad_json("A network id has at most 255 bytes")
        if not await room_state.is_known(self._db, room_id):
            raise not_found("Room not found")
        change = publish_room if visibility == "public" else withdraw_room
        await change(self._db, service.id, network_id, room_id)
        return {}
