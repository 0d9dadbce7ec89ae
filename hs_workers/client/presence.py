"""Who is online.

Spec: client-server API, #presence.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

import msgspec

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import forbidden, invalid_param, not_found
from hs_common.replication.calls import SetPresence
from hs_common.replication.ephemeral import Presence as UserPresence
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_common.storage.users import account, share_a_room
from hs_workers.client.own_user import own_user_id

STATUS_LIMIT: Final = 1_024
"""Characters of a status message. It is sent to everybody who shares a room."""


class PresenceView(Protocol):
    """What this process has heard of users' presence."""

    def presence_of(self, user_id: str) -> UserPresence | None:
        """None if nothing is known."""


class _Body(msgspec.Struct):
    presence: Literal["online", "offline", "unavailable"]
    status_msg: str | None = None


class Presence:
    """`enabled` False: nothing is kept, and nobody is seen. `now_ms` is the time of day."""

    def __init__(self, enabled: bool, db: Queries, master: Link, view: PresenceView, now_ms: Callable[[], int]) -> None:
        self._enabled = enabled
        self._db = db
        self._master = master
        self._view = view
        self._now_ms = now_ms

    @endpoint(
        "PUT",
        "/_matrix/client/v3/presence/{userId}/status",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#put_matrixclientv3presenceuseridstatus",
    )
    async def set(self, request: Request) -> Reply:
        """Sets one's own presence; a missing status message removes the old one."""
        user_id = own_user_id(request, "Cannot set the presence of another user")
        body = request.body(_Body)
        if body.status_msg is not None and len(body.status_msg) > STATUS_LIMIT:
            raise invalid_param(f"A status message has at most {STATUS_LIMIT} characters")
        if self._enabled:
            call = SetPresence(
                user_id=user_id, presence=body.presence, status_msg=body.status_msg, status_msg_given=True
            )
            await self._master.call(call)
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/v3/presence/{userId}/status",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3presenceuseridstatus",
    )
    async def get(self, request: Request) -> Reply:
        """The presence of oneself or of somebody in a room with oneself."""
        user_id, requester = request.path["userId"], request.requester.user_id
        known = self._view.presence_of(user_id) if self._enabled else None
        if not self._enabled or (known is None and await account(self._db, user_id) is None):
            raise not_found("No presence is known of this user")
        if user_id != requester and not await share_a_room(self._db, requester, user_id):
            raise forbidden("You are not allowed to see their presence")
        return {"presence": "offline"} if known is None else self._json(known)

    def _json(self, known: UserPresence) -> dict[str, Any]:
        last_active_ago = max(0, self._now_ms() - known.last_active_ms)
        answer: dict[str, Any] = {"presence": known.presence, "last_active_ago": last_active_ago}
        if known.status_msg is not None:
            answer["status_msg"] = known.status_msg
        if known.presence == "online":
            answer["currently_active"] = known.currently_active
        return answer
