"""Setting a room's state.

Spec: client-server API, #sending-events-to-a-room.
"""

from hs_common.federation.sending import Sending
from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, forbidden
from hs_common.matrix.identifiers import is_user_id
from hs_common.replication.calls import Intent
from hs_workers.client.massaged import timestamp_of
from hs_workers.client.room.aliases import CANONICAL_ALIAS, Aliases
from hs_workers.client.room.delaying import Delaying, Later
from hs_workers.client.room.event_content import check_type, content_of
from hs_workers.client.room.memberships import MEMBER, Memberships
from hs_workers.client.room.notices import Notices


class RoomState:
    """Setting what is set already answers the event that is there."""

    def __init__(
        self, sending: Sending, memberships: Memberships, notices: Notices, aliases: Aliases, delaying: Delaying
    ) -> None:
        self._delaying = delaying
        self._notices = notices
        self._sending = sending
        self._memberships = memberships
        self._aliases = aliases

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.MESSAGE,
        aliases=(r0, v1),
        spec="client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey",
    )
    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.MESSAGE,
        aliases=(r0, v1),
        spec="client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey",
    )
    async def set(self, request: Request) -> Reply:
        """Sends a state event."""
        path, requester, content = request.path, request.requester, content_of(request)
        room_id, event_type = path["roomId"], check_type(path["eventType"])
        state_key, timestamp_ms = check_type(path.get("stateKey", "")), timestamp_of(request)
        delay_ms = self._delaying.delay_of_query(request)
        if delay_ms is not None:
            later = Later(room_id, event_type, content, state_key)
            return {"delay_id": await self._delaying.schedule(request, later, delay_ms, None)}
        if event_type == MEMBER:
            if not is_user_id(state_key):
                raise bad_json("The state key of m.room.member must be a user id")
            if state_key == requester.user_id and content.get("membership") == "leave":
                await self._notices.check_may_leave(requester.user_id, room_id)
            event_id = await self._memberships.put(room_id, requester, state_key, content, timestamp_ms)
            return {"event_id": event_id}
        if event_type == "m.room.create":
            raise forbidden("A room is created once")
        if event_type == CANONICAL_ALIAS and state_key == "":
            await self._aliases.check_canonical(room_id, content)
        intent = Intent(
            room_id=room_id,
            sender=requester.user_id,
            type=event_type,
            state_key=state_key,
            content=content,
            timestamp_ms=timestamp_ms,
        )
        return {"event_id": await self._sending.send(intent)}
