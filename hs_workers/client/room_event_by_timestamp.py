"""Jumping to a date.

Spec: client-server API, #get_matrixclientv1roomsroomidtimestamp_to_event.
"""

from typing import Final

from hs_common.http.endpoint import Auth, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import not_found
from hs_common.reading.room_view import RoomViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_events
from hs_common.storage.queries import Queries
from hs_workers.client.paging import is_forwards
from hs_workers.client.room.reading import Reading

LOOKED_AT_ONCE: Final = 50
MAXIMUM_LOOKED_AT: Final = 500
"""Events near the time that the reader may not see, before the search is given up."""


class RoomEventByTimestamp:
    """The event nearest to a time that the requester may see."""

    def __init__(self, db: Queries, reading: Reading, views: RoomViews) -> None:
        self._db = db
        self._reading = reading
        self._views = views

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/timestamp_to_event",
        auth=Auth.USER,
        aliases=(unstable("org.matrix.msc3030"),),
        spec="client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event",
    )
    async def get(self, request: Request) -> Reply:
        """At that time or after (`f`), or before (`b`). 404 `M_NOT_FOUND`."""
        ts, forwards = request.query.integer("ts", minimum=0), is_forwards(request.query)
        event = await self._nearest(request, ts, forwards)
        if event is None:
            raise not_found(f"There is no event {'after' if forwards else 'before'} that time")
        return {"event_id": event.event_id, "origin_server_ts": event.origin_server_ts}

    async def _nearest(self, request: Request, ts: int, forwards: bool) -> StoredEvent | None:
        room_id = request.path["roomId"]
        view = await self._reading.view(room_id, request.requester)
        for offset in range(0, MAXIMUM_LOOKED_AT, LOOKED_AT_ONCE):
            rows = await room_events.by_time(
                self._db, room_id, ts, forwards=forwards, offset=offset, limit=LOOKED_AT_ONCE
            )
            events = [StoredEvent(view.version, row) for row in rows]
            await self._views.learn(view, events)
            for event in events:
                if view.shows(event):
                    return event
            if len(rows) < LOOKED_AT_ONCE:
                return None
        return None
