"""Reading a room's state and single events, for a requester.

Spec: client-server API, #getting-events-for-a-room.
"""

from typing import Any

import orjson

from hs_common.federation.backfilling import Backfilling
from hs_common.http.request import Requester
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.identifiers import is_event_id
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import Reader, RoomView, RoomViews, not_a_member
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_state
from hs_common.storage.queries import Queries, Row


def reader_of(requester: Requester) -> Reader:
    """The requester as a reader of events."""
    return Reader(requester.user_id, requester.device_id)


class Reading:
    """What a requester may see of a room."""

    def __init__(self, db: Queries, views: RoomViews, events: ClientEvents, history: Backfilling) -> None:
        self._db = db
        self._history = history
        self._views = views
        self._events = events

    async def view(self, room_id: str, requester: Requester) -> RoomView:
        """403 `M_FORBIDDEN` for a room that the requester may see nothing of, known or not."""
        return await self._views.readable(room_id, reader_of(requester))

    async def event(self, room_id: str, requester: Requester, event_id: str) -> tuple[RoomView, StoredEvent]:
        """404 `M_NOT_FOUND` for an event that is not there or not for the requester's eyes."""
        view = await self._views.view(room_id, reader_of(requester))
        if view is None or not view.is_readable:
            raise unknown_event()
        found = (await self._events.stored(view, [event_id])).get(event_id)
        if found is None and is_event_id(event_id):
            # It may be in history that other servers have.
            await self._history.look_for(room_id, event_id)
            found = (await self._events.stored(view, [event_id])).get(event_id)
        if found is None or not view.may_see(found):
            raise unknown_event()
        return view, found

    async def state_position(self, room_id: str, requester: Requester) -> tuple[RoomView, int]:
        """The view, and the position whose state the requester may see: now, or when he left. 403 `M_FORBIDDEN`."""
        view = await self.view(room_id, requester)
        if view.state_pos is None:
            raise not_a_member()
        return view, view.state_pos

    async def state(self, room_id: str, requester: Requester) -> list[bytes]:
        """All state events."""
        view, at = await self.state_position(room_id, requester)
        return self._events.state(view.version, await room_state.all_entries(self._db, room_id, at))

    async def state_content(self, room_id: str, requester: Requester, key: tuple[str, str]) -> dict[str, Any]:
        """The content of one state event. 404 `M_NOT_FOUND`."""
        _, row = await self._entry(room_id, requester, key)
        content: dict[str, Any] = orjson.loads(row[3])["content"]
        return content

    async def state_event(self, room_id: str, requester: Requester, key: tuple[str, str]) -> bytes:
        """One state event. 404 `M_NOT_FOUND`."""
        view, row = await self._entry(room_id, requester, key)
        stored = (await self._events.stored(view, [row[2]])).get(row[2])
        if stored is None:
            return self._events.state(view.version, [row])[0]
        return (await self._events.encoded(view, [stored]))[0]

    async def _entry(self, room_id: str, requester: Requester, key: tuple[str, str]) -> tuple[RoomView, Row]:
        view, at = await self.state_position(room_id, requester)
        rows = await room_state.entries(self._db, room_id, [key], at)
        if not rows:
            raise not_found("The room has no such state")
        return view, rows[0]


def unknown_event() -> MatrixError:
    """The one error for events that are not there and events that the reader may not see."""
    return not_found("Event not found")
