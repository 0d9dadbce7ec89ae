"""Single events, and the state of a room before one.

Spec: server-server API, #retrieving-events.
"""

from typing import Final

from twisted.internet.defer import DeferredSemaphore

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found
from hs_common.reading.server_view import ServerViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_events, room_state, server_views
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.event_answers import EventAnswers, encoded
from hs_workers.federation_inbound.graph import Graph
from hs_workers.federation_inbound.rooms import Rooms, RoomStanding

STATES_AT_ONCE: Final = 2
"""Whole states that are assembled at the same time: that of a large room is some ten MB."""
TIME_PAGE: Final = 50
TIME_PAGES: Final = 10
"""Of events near a time that are looked at for one that the other server may see."""


class Events:
    """Reads them for servers that are in the room."""

    def __init__(self, db: Queries, rooms: Rooms, graph: Graph, views: ServerViews, answers: EventAnswers) -> None:
        self._db = db
        self._rooms = rooms
        self._graph = graph
        self._views = views
        self._answers = answers
        self._states = DeferredSemaphore(STATES_AT_ONCE)

    @endpoint(
        "GET",
        "/_matrix/federation/v1/event/{eventId}",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1eventeventid",
    )
    async def event(self, request: Request) -> Reply:
        """One event; redacted if it is of before the server came. From outside, what anybody may see."""
        event_id, origin = request.path["eventId"], request.origin
        room_id = await server_views.event_room(self._db, event_id)
        if room_id is None:
            raise _unknown(event_id)
        standing = await self._rooms.standing(room_id, origin)
        return self._answers.transaction([await self._shown(standing, event_id, origin)])

    @endpoint(
        "GET",
        "/_matrix/federation/v1/state/{roomId}",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1stateroomid",
    )
    async def state(self, request: Request) -> Reply:
        """The state before an event, and what authorises it."""
        await self._states.acquire()
        try:
            state, chain = await self._before(request)
        finally:
            self._states.release()
        return {
            "pdus": encoded(pdu.encode() for pdu in state.values()),
            "auth_chain": encoded(pdu.encode() for pdu in chain.values()),
        }

    @endpoint(
        "GET",
        "/_matrix/federation/v1/state_ids/{roomId}",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1state_idsroomid",
    )
    async def state_ids(self, request: Request) -> Reply:
        """The same as ids."""
        await self._states.acquire()
        try:
            state, chain = await self._before(request)
        finally:
            self._states.release()
        return {"pdu_ids": list(state), "auth_chain_ids": list(chain)}

    @endpoint(
        "GET",
        "/_matrix/federation/v1/timestamp_to_event/{roomId}",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1timestamp_to_eventroomid",
    )
    async def timestamp_to_event(self, request: Request) -> Reply:
        """The event nearest to a time that the server may see."""
        standing = await self._rooms.inside(request.path["roomId"], request.origin)
        ts, direction = request.query.integer("ts", minimum=0), request.query.string("dir", "f")
        if direction not in ("f", "b"):
            raise invalid_param("dir must be f or b")
        view = await self._views.view(standing.room_id, standing.version, request.origin)
        for page in range(TIME_PAGES):
            rows = await room_events.by_time(
                self._db, standing.room_id, ts, forwards=direction == "f", offset=page * TIME_PAGE, limit=TIME_PAGE
            )
            events = [StoredEvent(standing.version, row) for row in rows]
            await self._views.learn(view, events)
            known = await server_views.without_imported(self._db, [event.event_id for event in events])
            for event in events:
                if event.event_id in known and view.may_see(event):
                    return {"event_id": event.event_id, "origin_server_ts": event.origin_server_ts}
            if len(rows) < TIME_PAGE:
                break
        raise not_found(f"Unable to find an event from {ts} in that direction")

    async def _shown(self, standing: RoomStanding, event_id: str, origin: str) -> bytes:
        in_timeline = await self._graph.events(standing.room_id, standing.version, [event_id])
        if not in_timeline:
            if not standing.is_inside:
                raise _unknown(event_id)
            found = await server_views.event_json(self._db, standing.room_id, [event_id])
            return found[event_id].encode()
        view = await self._views.view(standing.room_id, standing.version, origin)
        await self._views.learn(view, in_timeline)
        (event,) = in_timeline
        if not standing.is_inside and not view.may_see(event):
            raise _unknown(event_id)
        return view.pdu(event)

    async def _before(self, request: Request) -> tuple[dict[str, str], dict[str, str]]:
        """State and its auth chain, PDUs by event id."""
        standing = await self._rooms.inside(request.path["roomId"], request.origin)
        room_id, event_id = standing.room_id, request.query.string("event_id")
        place = await server_views.state_before(self._db, room_id, event_id)
        # Of what was found in the past only a part of the state is known.
        if place is None:
            raise _unknown(event_id)
        state_pos, delta_id = place
        entries = {
            (event_type, state_key): (state_id, json)
            for event_type, state_key, state_id, json in await room_state.all_entries(self._db, room_id, state_pos)
        }
        if delta_id is not None:
            for event_type, state_key, state_id, json in await server_views.overridden_state(self._db, delta_id):
                entries.pop((event_type, state_key), None)
                if state_id is not None:
                    entries[event_type, state_key] = (state_id, json)
        state = dict(entries.values())
        return state, await self._graph.auth_chain(room_id, standing.version, state.values())


def _unknown(event_id: str) -> Exception:
    return not_found(f"Could not find event {event_id[:64]}")
