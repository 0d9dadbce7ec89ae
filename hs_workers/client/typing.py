"""Typing notifications.

Spec: client-server API, #typing-notifications.
"""

from typing import Final

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import forbidden
from hs_common.replication.calls import SetTyping
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_common.storage.users import is_joined
from hs_workers.client.own_user import own_user_id

DEFAULT_TIMEOUT_MS: Final = 30_000
MAXIMUM_TIMEOUT_MS: Final = 120_000
"""A client that goes on typing says so again; one that has vanished is not to type for ever."""


class _Body(msgspec.Struct):
    typing: bool
    timeout: int | None = None


class Typing:
    """Only who is in the room may type in it."""

    def __init__(self, db: Queries, master: Link) -> None:
        self._db = db
        self._master = master

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/typing/{userId}",
        auth=Auth.USER,
        rate=Rate.DEFAULT,
        aliases=(r0,),
        spec="client-server-api/#put_matrixclientv3roomsroomidtypinguserid",
    )
    async def set(self, request: Request) -> Reply:
        """Starts, prolongs or stops typing."""
        user_id = own_user_id(request, "Cannot type for another user")
        room_id = request.path["roomId"]
        body = request.body(_Body)
        if not await is_joined(self._db, user_id, room_id):
            raise forbidden("You are not in this room")
        timeout_ms = DEFAULT_TIMEOUT_MS if body.timeout is None else body.timeout
        timeout_ms = min(max(timeout_ms, 0), MAXIMUM_TIMEOUT_MS) if body.typing else 0
        await self._master.call(SetTyping(room_id=room_id, user_id=user_id, timeout_ms=timeout_ms))
        return {}
