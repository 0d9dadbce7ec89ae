"""History of a room, and the events that another server is missing.

Spec: server-server API, #backfilling-and-retrieving-missing-events.
"""

from typing import Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, missing_param
from hs_common.reading.server_view import ServerViews
from hs_common.reading.stored_event import StoredEvent
from hs_workers.federation_inbound.event_answers import EventAnswers, encoded
from hs_workers.federation_inbound.graph import Graph
from hs_workers.federation_inbound.rooms import Rooms, RoomStanding

MAXIMUM_EVENTS: Final = 100
"""Of one answer: with events of full size 6.4 MB, and what other servers give as well."""
MAXIMUM_NAMED: Final = 100
"""Event ids in one request; a room's ends are some tens at most."""


class _Missing(msgspec.Struct):
    earliest_events: list[str]
    latest_events: list[str]
    limit: int = 10
    min_depth: int = 0


class Backfill:
    """What the other server may not see it gets redacted."""

    def __init__(self, rooms: Rooms, graph: Graph, views: ServerViews, answers: EventAnswers) -> None:
        self._rooms = rooms
        self._graph = graph
        self._views = views
        self._answers = answers

    @endpoint(
        "GET",
        "/_matrix/federation/v1/backfill/{roomId}",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1backfillroomid",
    )
    async def backfill(self, request: Request) -> Reply:
        """The events named and those before them, the newest first."""
        standing = await self._rooms.inside(request.path["roomId"], request.origin)
        named = request.query.strings("v")
        if not named:
            raise missing_param("The query parameter v is missing")
        limit = request.query.integer("limit", minimum=0, maximum=MAXIMUM_EVENTS)
        found = await self._graph.ancestors(standing.room_id, standing.version, _few(named), limit) if limit else []
        return self._answers.transaction(await self._pdus(standing, request.origin, found))

    @endpoint(
        "POST",
        "/_matrix/federation/v1/get_missing_events/{roomId}",
        auth=Auth.SERVER,
        reads=True,
        spec="server-server-api/#post_matrixfederationv1get_missing_eventsroomid",
    )
    async def get_missing_events(self, request: Request) -> Reply:
        """The events between, the oldest first."""
        standing = await self._rooms.inside(request.path["roomId"], request.origin)
        body = request.body(_Missing)
        limit = min(body.limit, MAXIMUM_EVENTS)
        latest, earliest = _few(body.latest_events), _few(body.earliest_events)
        room_id, version = standing.room_id, standing.version
        ends = await self._graph.events(room_id, version, latest)
        before = {event_id for end in ends for event_id in end.event.prev_event_ids}
        found = []
        if before and limit > 0:
            found = await self._graph.ancestors(
                room_id, version, before, limit, without={*latest, *earliest}, min_depth=body.min_depth
            )
        pdus = await self._pdus(standing, request.origin, found[::-1])
        return {"events": encoded(pdus)}

    async def _pdus(self, standing: RoomStanding, origin: str, events: list[StoredEvent]) -> list[bytes]:
        view = await self._views.view(standing.room_id, standing.version, origin)
        await self._views.learn(view, events)
        return [view.pdu(event) for event in events]


def _few(event_ids: list[str]) -> list[str]:
    if len(event_ids) > MAXIMUM_NAMED:
        raise invalid_param(f"At most {MAXIMUM_NAMED} events can be named")
    return event_ids
