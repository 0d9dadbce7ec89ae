"""Whose devices changed lately, with the rooms that they were in: so that the fast lane can tell, without a statement,
whether a reader shares one, and so that those who do are woken.

What is not known (yet) is None, and then Postgres is asked. Who enters or leaves a reader's room changes its state,
which is not for the fast lane anyway.
"""

from collections.abc import Callable, Iterable
from typing import Final

from hs_common.bounded import Bounded
from hs_common.process.background import Background
from hs_common.storage import sync_rooms
from hs_common.storage.queries import Queries
from hs_workers.sync.audience import Audience

MAXIMUM_CHANGES: Final = 10_000  # as many as items are looked at for one answer, and more


class DeviceChanges:
    """Position → the rooms of whose devices changed there."""

    def __init__(
        self, db: Queries, audience: Audience, background: Background, tell: Callable[[Iterable[str]], None]
    ) -> None:
        """`tell` wakes users at once."""
        self._db = db
        self._audience = audience
        self._background = background
        self._tell = tell
        self._rooms = Bounded[int, frozenset[str] | None](MAXIMUM_CHANGES)

    def rooms_of(self, pos: int) -> frozenset[str] | None:
        """The rooms in which the user was whose devices changed at a position; None: not known."""
        return self._rooms.get(pos)

    def add(self, pos: int, user_id: str) -> None:
        """Devices of a user changed: he and all who share a room with him are to be told."""
        self._audience.concern([user_id])
        user = self._audience.get(user_id)
        if user is None or user.rooms is None:
            self._rooms[pos] = None
            self._background("rooms of whose devices changed", self._ask(pos, user_id))
        else:
            rooms = self._rooms[pos] = frozenset(user.rooms)
            self._audience.concern(self._in_rooms(rooms))

    def forget(self) -> None:
        """The log began anew."""
        self._rooms.clear()

    async def _ask(self, pos: int, user_id: str) -> None:
        rooms = frozenset(await sync_rooms.rooms_joined_by(self._db, user_id))
        if pos in self._rooms:
            self._rooms[pos] = rooms
        self._tell(self._in_rooms(rooms))

    def _in_rooms(self, room_ids: Iterable[str]) -> set[str]:
        return {user_id for room_id in room_ids for user_id in self._audience.in_room(room_id)}
