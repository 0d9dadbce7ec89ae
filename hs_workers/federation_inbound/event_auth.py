"""What authorises an event.

Spec: server-server API, #retrieving-event-authorisation-information.
"""

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import not_found
from hs_common.storage import server_views
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.event_answers import encoded
from hs_workers.federation_inbound.graph import Graph
from hs_workers.federation_inbound.rooms import Rooms


class EventAuth:
    """Auth chains of any events that are here, in a timeline or not."""

    def __init__(self, db: Queries, rooms: Rooms, graph: Graph) -> None:
        self._db = db
        self._rooms = rooms
        self._graph = graph

    @endpoint(
        "GET",
        "/_matrix/federation/v1/event_auth/{roomId}/{eventId}",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1event_authroomideventid",
    )
    async def get(self, request: Request) -> Reply:
        """The whole auth chain, without the event."""
        event_id = request.path["eventId"]
        standing = await self._rooms.inside(request.path["roomId"], request.origin)
        found = await server_views.event_json(self._db, standing.room_id, [event_id])
        if event_id not in found:
            raise not_found(f"Could not find event {event_id[:64]}")
        chain = await self._graph.auth_chain(standing.room_id, standing.version, found.values())
        return {"auth_chain": encoded(pdu.encode() for pdu in chain.values())}
