"""Rooms that this server's users cannot go to: operators blocked them, or they are being removed.

They are few, and every join asks, so all of them are remembered for some seconds.
"""

from collections.abc import Callable
from typing import Final

from hs_common.matrix.errors import forbidden
from hs_common.storage import room_deletion
from hs_common.storage.queries import Queries

KEPT_S: Final = 5.0
MAXIMUM_KEPT: Final = 50_000
"""Rooms that are remembered; an operator's list of bad rooms has some thousands."""


class ClosedRooms:
    """`seconds` is a clock that never goes back."""

    def __init__(self, db: Queries, seconds: Callable[[], float]) -> None:
        self._db = db
        self._seconds = seconds
        self._known: frozenset[str] = frozenset()
        self._read_at: float | None = None

    async def check(self, room_id: str) -> None:
        """403 `M_FORBIDDEN` for such a room."""
        now = self._seconds()
        if self._read_at is None or now - self._read_at >= KEPT_S:
            self._known = frozenset(await room_deletion.closed_rooms(self._db, MAXIMUM_KEPT))
            self._read_at = now
        if room_id in self._known:
            raise forbidden("This room has been blocked on this server")
