"""Reading a room: single events, its state, its members.

Spec: client-server API, #getting-events-for-a-room.
"""

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.tokens import parse_room_token
from hs_common.reading.client_events import ClientEvents
from hs_workers.client.room.members import Members
from hs_workers.client.room.reading import Reading, unknown_event


class Rooms:
    """What history visibility lets the requester see."""

    def __init__(self, reading: Reading, members: Members, events: ClientEvents) -> None:
        self._reading = reading
        self._members = members
        self._events = events

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/event/{eventId}",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomideventeventid",
    )
    async def event(self, request: Request) -> Reply:
        """One event with its bundled aggregations."""
        path = request.path
        view, event = await self._reading.event(path["roomId"], request.requester, path["eventId"])
        if view.is_ignored(event):
            raise unknown_event()
        return Encoded((await self._events.encoded(view, [event]))[0])

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey",
    )
    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey",
    )
    async def state_entry(self, request: Request) -> Reply:
        """One entry of the state: its content, or all of the event."""
        key = (request.path["eventType"], request.path.get("stateKey", ""))
        form = request.query.string("format", "content")
        if form == "content":
            return await self._reading.state_content(request.path["roomId"], request.requester, key)
        if form != "event":
            raise invalid_param("`format` must be `content` or `event`")
        return Encoded(await self._reading.state_event(request.path["roomId"], request.requester, key))

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/state",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomidstate",
    )
    async def state(self, request: Request) -> Reply:
        """All of the state."""
        events = await self._reading.state(request.path["roomId"], request.requester)
        return Encoded(b"[" + b",".join(events) + b"]")

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/members",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomidmembers",
    )
    async def members(self, request: Request) -> Reply:
        """The member events."""
        query = request.query
        at = query.string("at", None)
        return await self._members.events(
            request.path["roomId"],
            request.requester,
            None if at is None else parse_room_token(at),
            query.string("membership", None),
            query.string("not_membership", None),
        )

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/joined_members",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3roomsroomidjoined_members",
    )
    async def joined_members(self, request: Request) -> Reply:
        """Who is in the room, by user id."""
        return await self._members.joined(request.path["roomId"], request.requester)
