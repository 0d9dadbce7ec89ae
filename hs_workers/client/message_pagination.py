"""A room's history, in pages.

Spec: client-server API, #get_matrixclientv3roomsroomidmessages.
"""

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.reading.client_events import ClientEvents
from hs_workers.client.paging import DEFAULT_LIMIT, event_filter, is_forwards, room_token
from hs_workers.client.room.answers import array
from hs_workers.client.room.pages import Pages
from hs_workers.client.room.reading import Reading


class MessagePagination:
    """Takes tokens of /sync and of its own kind."""

    def __init__(self, reading: Reading, pages: Pages, events: ClientEvents, page_size: int) -> None:
        self._reading = reading
        self._pages = pages
        self._events = events
        self._page_size = page_size

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/messages",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomidmessages",
    )
    async def messages(self, request: Request) -> Reply:
        """One page."""
        query = request.query
        start, stop, forwards = room_token(query, "from"), room_token(query, "to"), is_forwards(query)
        limit, filter = query.integer("limit", DEFAULT_LIMIT, 1, self._page_size), event_filter(query)
        limit = min(limit, filter.bounded_limit(limit, self._page_size))
        view = await self._reading.view(request.path["roomId"], request.requester)
        page = await self._pages.read(view, start, stop, forwards=forwards, limit=limit, filter=filter)
        answer = {
            "chunk": array(await self._events.encoded(view, page.events)),
            "start": query.string("from", None) or str(page.start),
        }
        if page.end is not None:
            answer["end"] = str(page.end)
        if filter.lazy_load_members:
            members = await self._pages.members_of(view, page.events)
            answer["state"] = array(self._events.state(view.version, members))
        return answer
