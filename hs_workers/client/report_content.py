"""Telling the operators of rooms, events and users that are not as they should be. Kept for them; nobody else hears.

Spec: client-server API, #reporting-content.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint, r0, unstable, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, invalid_param, not_found
from hs_common.matrix.identifiers import check_room_id, domain_of, parse_user_id
from hs_common.storage import reports, room_state
from hs_common.storage.queries import Queries
from hs_common.storage.users import accounts
from hs_workers.client.room.reading import Reading

MAXIMUM_REASON: Final = 4_000
"""Characters of a reason: a page, which is kept until an operator deletes it."""
MAXIMUM_SCORE: Final = 1_000_000


class _Body(msgspec.Struct):
    reason: str


class _EventBody(msgspec.Struct):
    reason: str | None = None
    score: int | None = None


class ReportContent:
    """Takes reports."""

    def __init__(self, db: Queries, reading: Reading, server_name: str, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._reading = reading
        self._server_name = server_name
        self._now_ms = now_ms

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/report",
        auth=Auth.USER,
        aliases=(unstable("org.matrix.msc4151"),),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidreport",
    )
    async def room(self, request: Request) -> Reply:
        """Of a room, also by who is not in it. 404 `M_NOT_FOUND`."""
        room_id, reason = check_room_id(request.path["roomId"]), _checked(request.body(_Body).reason)
        if not await room_state.is_known(self._db, room_id):
            raise not_found("The room was not found.")
        await reports.add(self._db, self._now_ms(), request.requester.user_id, reason, room_id=room_id)
        return {}

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/report/{eventId}",
        auth=Auth.USER,
        aliases=(r0, v1),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidreporteventid",
    )
    async def event(self, request: Request) -> Reply:
        """Of an event in a room that the requester is in. 404 `M_NOT_FOUND`."""
        room_id, body = request.path["roomId"], request.body(_EventBody)
        score = None if body.score is None else max(-MAXIMUM_SCORE, min(body.score, MAXIMUM_SCORE))
        reason = _checked(body.reason or "")
        view, event = await self._reading.event(room_id, request.requester, request.path["eventId"])
        if not view.is_joined:
            raise _no_event()
        await reports.add(
            self._db,
            self._now_ms(),
            request.requester.user_id,
            reason,
            room_id=room_id,
            event_id=event.event_id,
            user_id=event.sender,
            score=score,
        )
        return {}

    @endpoint(
        "POST",
        "/_matrix/client/v3/users/{userId}/report",
        auth=Auth.USER,
        aliases=(unstable("org.matrix.msc4260"),),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3usersuseridreport",
    )
    async def user(self, request: Request) -> Reply:
        """Of a user, whether or not there is a common room. 404 `M_NOT_FOUND` for one that this server never had."""
        user_id, reason = request.path["userId"], _checked(request.body(_Body).reason)
        parse_user_id(user_id)
        if domain_of(user_id) == self._server_name and not await accounts(self._db, [user_id]):
            raise not_found("The user was not found on the homeserver.")
        await reports.add(self._db, self._now_ms(), request.requester.user_id, reason, user_id=user_id)
        return {}


def _checked(reason: str) -> str:
    if "\0" in reason or len(reason) > MAXIMUM_REASON:
        raise invalid_param(f"`reason` has at most {MAXIMUM_REASON} characters, none of them NUL")
    return reason


def _no_event() -> MatrixError:
    return not_found("The event was not found or you are not joined to the room.")
