"""A room as it is, for who is in it, was in it, or peeks; and single events by their id alone.

Spec: client-server API, #get_matrixclientv3roomsroomidinitialsync, #get_matrixclientv3eventseventid, #room-previews.
"""

from typing import Any, Final

import orjson

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import RoomView, not_a_member
from hs_common.storage import room_directory, room_events, room_state, sync_personal
from hs_common.storage.queries import Queries
from hs_workers.client.room.answers import array
from hs_workers.client.room.pages import Pages
from hs_workers.client.room.reading import Reading, unknown_event

DEFAULT_LIMIT: Final = 20
MAXIMUM_LIMIT: Final = 100
MEMBERSHIPS: Final = ("invite", "join", "leave", "ban")
"""Those that this answer has a word for: it is older than knocking."""


class RoomInitialSync:
    """The state, the newest messages, and what is the requester's own."""

    def __init__(self, db: Queries, reading: Reading, pages: Pages, events: ClientEvents) -> None:
        self._db = db
        self._reading = reading
        self._pages = pages
        self._events = events

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/initialSync",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomidinitialsync",
    )
    async def get(self, request: Request) -> Reply:
        """403 `M_FORBIDDEN` for who may see nothing of the room."""
        room_id = request.path["roomId"]
        limit = request.query.integer("limit", DEFAULT_LIMIT, 0, MAXIMUM_LIMIT)
        view = await self._reading.view(room_id, request.requester)
        if view.state_pos is None:
            raise not_a_member()
        state = self._events.state(view.version, await room_state.all_entries(self._db, room_id, view.state_pos))
        answer: dict[str, Any] = {
            "room_id": room_id,
            "messages": await self._messages(view, limit),
            "state": array(state),
            "visibility": "public" if await room_directory.is_published(self._db, room_id) else "private",
            "account_data": [
                {"type": data_type, "content": orjson.Fragment(content)}
                for data_type, content in await sync_personal.room_account_data(
                    self._db, request.requester.user_id, room_id
                )
            ],
        }
        if view.membership in MEMBERSHIPS:
            answer["membership"] = view.membership
        return answer

    async def _messages(self, view: RoomView, limit: int) -> dict[str, Any]:
        """The newest messages in their order; `end` is where listening goes on."""
        end = str(RoomToken(view.upto))
        if limit == 0:
            return {"start": end, "end": end, "chunk": []}
        page = await self._pages.read(view, None, None, forwards=False, limit=limit)
        chunk = await self._events.encoded(view, page.events[::-1])
        messages = {"end": end, "chunk": array(chunk)}
        return messages if page.end is None else {**messages, "start": str(page.end)}

    @endpoint(
        "GET",
        "/_matrix/client/v3/events/{eventId}",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3eventseventid",
    )
    async def event(self, request: Request) -> Reply:
        """404 `M_NOT_FOUND` for an event that is not there or not for the requester's eyes."""
        event_id = request.path["eventId"]
        room_id = await room_events.room_of(self._db, event_id)
        if room_id is None:
            raise unknown_event()
        view, event = await self._reading.event(room_id, request.requester, event_id)
        if view.is_ignored(event):
            raise unknown_event()
        return Encoded((await self._events.encoded(view, [event]))[0])
