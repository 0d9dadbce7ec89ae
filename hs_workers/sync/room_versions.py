"""The versions of rooms, which never change: asked for once. Bounded."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from hs_common.storage import sync_rooms
from hs_common.storage.queries import Queries

MAXIMUM_ROOMS: Final = 50_000  # some 5 MiB


class RoomVersions:
    """Room id → version."""

    def __init__(self, db: Queries) -> None:
        self._db = db
        self._known: OrderedDict[str, str] = OrderedDict()

    async def of(self, room_ids: Iterable[str]) -> Mapping[str, str]:
        """The versions of at least these rooms, as far as the server knows them."""
        missing = [room_id for room_id in room_ids if room_id not in self._known]
        if missing:
            self._known.update(await sync_rooms.room_versions(self._db, missing))
        while len(self._known) > MAXIMUM_ROOMS:
            self._known.popitem(last=False)
        return self._known
