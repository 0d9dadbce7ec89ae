"""The members of a room, in one statement.

Spec: client-server API, #get_matrixclientv3roomsroomidmembers, #get_matrixclientv3roomsroomidjoined_members.
"""

from typing import Any, Final

import orjson

from hs_common.http.request import Requester
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import not_a_member
from hs_common.storage import room_members, room_state
from hs_common.storage.queries import Queries
from hs_workers.client.room.reading import Reading

MEMBERSHIPS: Final = ("join", "invite", "knock", "leave", "ban")


class Members:
    """Lists members."""

    def __init__(self, db: Queries, reading: Reading, events: ClientEvents) -> None:
        self._db = db
        self._reading = reading
        self._events = events

    async def events(
        self, room_id: str, requester: Requester, at: RoomToken | None, wanted: str | None, unwanted: str | None
    ) -> list[bytes]:
        """Member events at a place in the timeline. With `wanted` and `unwanted`, either makes a member pass.

        400 `M_INVALID_PARAM`, 403 `M_FORBIDDEN`.
        """
        for membership in (wanted, unwanted):
            if membership is not None and membership not in MEMBERSHIPS:
                raise invalid_param(f"{membership[:64]!r} is not a membership")
        view, latest = await self._reading.state_position(room_id, requester)
        position = latest if at is None else min(at.order_pos, latest)
        rows = await room_state.members(self._db, room_id, position)
        return self._events.state(view.version, [row for row in rows if _passes(row[4], wanted, unwanted)])

    async def joined(self, room_id: str, requester: Requester) -> dict[str, dict[str, Any]]:
        """Name and avatar of who is in the room. 403 `M_FORBIDDEN` unless the requester is."""
        if await room_members.membership(self._db, requester.user_id, room_id) != "join":
            raise not_a_member()
        return {
            user_id: _shown(orjson.loads(json)["content"])
            for user_id, json in await room_state.joined_members(self._db, room_id)
        }


def _passes(membership: str | None, wanted: str | None, unwanted: str | None) -> bool:
    if wanted is None and unwanted is None:
        return True
    return (wanted is not None and membership == wanted) or (unwanted is not None and membership != unwanted)


def _shown(content: dict[str, Any]) -> dict[str, Any]:
    named = {"display_name": content.get("displayname"), "avatar_url": content.get("avatar_url")}
    return {key: value for key, value in named.items() if isinstance(value, str)}
