"""The versions of rooms, which never change: asked for once. Bounded."""

from collections.abc import Iterable, Mapping
from typing import Final

from hs_common.bounded import Bounded
from hs_common.storage import room_state
from hs_common.storage.queries import Queries

MAXIMUM_ROOMS: Final = 50_000  # some 5 MiB


class RoomVersions:
    """Room id → version."""

    def __init__(self, db: Queries, maximum: int = MAXIMUM_ROOMS) -> None:
        """`maximum`: rooms remembered."""
        self._db = db
        self._known = Bounded[str, str](maximum)

    async def of(self, room_ids: Iterable[str]) -> Mapping[str, str]:
        """The versions of these rooms, as far as the server knows them."""
        wanted = set(room_ids)
        found = {room_id: self._known[room_id] for room_id in wanted if room_id in self._known}
        missing = wanted - found.keys()
        if missing:
            read = await room_state.room_versions(self._db, list(missing))
            self._known.update(read)
            found |= read
        return found
