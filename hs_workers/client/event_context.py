"""The events around an event.

Spec: client-server API, #event-context.
"""

from typing import Final

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.client.paging import DEFAULT_LIMIT, event_filter
from hs_workers.client.room.surroundings import Surroundings

MAXIMUM_LIMIT: Final = 100
"""Events around one: a screen or two; for more there is /messages."""


class EventContext:
    """What was said before and after."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/context/{eventId}",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomidcontexteventid",
    )
    async def get(self, request: Request) -> Reply:
        """At most `limit` events, half of them before."""
        limit = request.query.integer("limit", DEFAULT_LIMIT, 0, MAXIMUM_LIMIT)
        filter = event_filter(request.query)
        path = request.path
        return await self._surroundings.of(path["roomId"], request.requester, path["eventId"], limit, filter)
