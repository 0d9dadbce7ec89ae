"""The events around an event, and the state there.

Spec: client-server API, #event-context.
"""

from typing import Any

import orjson

from hs_common.http.request import Requester
from hs_common.matrix.filters import RoomEventFilter
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import RoomView
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_state
from hs_common.storage.queries import Queries, Row
from hs_workers.client.room.answers import array
from hs_workers.client.room.pages import Pages
from hs_workers.client.room.reading import Reading, unknown_event

_Parts = dict[str, Any]


class Surroundings:
    """Reads both ways from an event."""

    def __init__(self, db: Queries, reading: Reading, pages: Pages, events: ClientEvents) -> None:
        self._db = db
        self._reading = reading
        self._pages = pages
        self._events = events

    async def of(
        self, room_id: str, requester: Requester, event_id: str, limit: int, filter: RoomEventFilter
    ) -> _Parts:
        """The answer of /context. 404 `M_NOT_FOUND`."""
        view, event = await self._reading.event(room_id, requester, event_id)
        if view.is_ignored(event):
            raise unknown_event()
        before, start = await self._side(view, event.place_before, limit // 2, filter, forwards=False)
        after, end = await self._side(view, event.place, limit - limit // 2, filter, forwards=True)
        encoded = await self._events.encoded(view, [event, *before, *after])
        cut = 1 + len(before)
        shown = [event, *before, *after]
        state = await self._state(view, shown, after[-1] if after else event, filter)
        return {
            "start": str(start),
            "end": str(end),
            "event": orjson.Fragment(encoded[0]),
            "events_before": array(encoded[1:cut]),
            "events_after": array(encoded[cut:]),
            "state": array(self._events.state(view.version, state)),
        }

    async def _side(
        self, view: RoomView, place: RoomToken, limit: int, filter: RoomEventFilter, *, forwards: bool
    ) -> tuple[list[StoredEvent], RoomToken]:
        """Events on one side of a place, and the token to go on from there."""
        if limit == 0:
            return [], place
        page = await self._pages.read(view, place, None, forwards=forwards, limit=limit, filter=filter)
        if not page.events:
            return [], place
        last = page.events[-1]
        return page.events, last.place if forwards else last.place_before

    async def _state(
        self, view: RoomView, shown: list[StoredEvent], last: StoredEvent, filter: RoomEventFilter
    ) -> list[Row]:
        """The state after the last event; of members only the senders' where they are loaded lazily."""
        at = last.order_pos
        if filter.lazy_load_members:
            senders = [("m.room.member", user_id) for user_id in {event.sender for event in shown}]
            rows = await room_state.without_members(self._db, view.room_id, at)
            rows += await room_state.entries(self._db, view.room_id, senders, at)
        else:
            rows = await room_state.all_entries(self._db, view.room_id, at)
        return [row for row in rows if filter.types.allows(row[0])]
