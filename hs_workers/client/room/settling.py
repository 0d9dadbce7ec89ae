"""Settling into a room that replaced another: the user's tags, push rules and direct chats of the old one follow him.

Once, at his join: what he changes later is his. A join stands whether or not this succeeds.

Spec: client-server API, #room-upgrades: "When a user joins the new room, the server should automatically
transfer/replicate some of the user's personalized settings such as notifications, tags, etc."
"""

from typing import Any, Final

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.event import Event
from hs_common.matrix.identifiers import is_room_id
from hs_common.matrix.push_rules_of_rooms import with_rules_of
from hs_common.storage import room_members
from hs_common.storage.queries import Queries
from hs_workers.client.accounts.account_data import GLOBAL, UserAccountData
from hs_workers.client.accounts.push_rules import PUSH_RULES, UserPushRules

TAG: Final = "m.tag"
DIRECT: Final = "m.direct"

_log = Logger()


class Settling:
    """Replicates settings."""

    def __init__(self, db: Queries, data: UserAccountData) -> None:
        self._db = db
        self._data = data
        self._rules = UserPushRules(data)

    async def joined(self, user_id: str, room_id: str, create: Event) -> None:
        """A user has just joined a room with such a create event."""
        predecessor = create.content.get("predecessor")
        old_room_id = predecessor.get("room_id") if isinstance(predecessor, dict) else None
        if not is_room_id(old_room_id) or old_room_id == room_id:
            return
        if await room_members.membership(self._db, user_id, old_room_id) is not None:
            await self.moved(user_id, old_room_id, room_id)

    async def moved(self, user_id: str, old_room_id: str, room_id: str) -> None:
        """A user has moved from one room to the other."""
        try:
            await self._copy_tags(user_id, old_room_id, room_id)
            if await self._data.content(user_id, GLOBAL, PUSH_RULES) is not None:
                await self._rules.edit(user_id, lambda rules: with_rules_of(rules, old_room_id, room_id))
            await self._data.edit(user_id, GLOBAL, DIRECT, lambda content: _with_room(content, old_room_id, room_id))
        except MatrixError as error:
            _log.warn("settings of {user} do not follow to {room}: {error}", user=user_id, room=room_id, error=error)

    async def _copy_tags(self, user_id: str, old_room_id: str, room_id: str) -> None:
        old = await self._data.content(user_id, old_room_id, TAG)
        if old:
            await self._data.edit(user_id, room_id, TAG, lambda content: old if content is None else None)


def _with_room(content: dict[str, Any] | None, old_room_id: str, room_id: str) -> dict[str, Any] | None:
    """The direct chats, with the new room beside the old one."""
    if content is None:
        return None
    return {user_id: _beside(rooms, old_room_id, room_id) for user_id, rooms in content.items()}


def _beside(rooms: Any, old_room_id: str, room_id: str) -> Any:
    if not isinstance(rooms, list) or old_room_id not in rooms or room_id in rooms:
        return rooms
    return [*rooms, room_id]
