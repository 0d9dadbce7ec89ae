"""What a worker remembers for some seconds of the rooms in directories: their sizes, and the texts that are searched.

Anybody may read the directory, and counting the members of all its rooms is dear. Which rooms are in it is not
remembered here, so a room is there, and gone, at once; only its size and what it is found by may be some seconds old.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from twisted.internet.defer import DeferredLock

from hs_common.matrix.room_texts import plain_topic, text_of
from hs_common.storage import room_directory
from hs_common.storage.queries import Queries

KEPT_S: Final = 10.0
"""How old what is told may be; clients fetch the directory once, when its dialogue is opened."""
SEARCHED_LENGTH: Final = 1_000
"""Characters of a name or topic that a search looks at: with 5,000 rooms some MiB are remembered at most."""
_TYPES: Final = ("m.room.create", "m.room.name", "m.room.topic", "m.room.canonical_alias")


@dataclass(frozen=True, slots=True)
class SearchedRoom:
    """What a room is found by; the texts without regard to case."""

    room_type: str | None
    texts: tuple[str, ...]


class DirectoryMemory:
    """Reads what it does not remember, for one request at a time: the others find it then."""

    def __init__(self, db: Queries, seconds: Callable[[], float]) -> None:
        self._db = db
        self._seconds = seconds
        self._lock = DeferredLock()
        self._since = seconds()
        self._joined: dict[str, int] = {}
        self._searched: dict[str, SearchedRoom] = {}

    async def joined(self, room_ids: Sequence[str]) -> dict[str, int]:
        """Joined members of those of the rooms that are known here."""
        await self._lock.acquire()
        try:
            self._forget_old()
            missing = [room_id for room_id in room_ids if room_id not in self._joined]
            if missing:
                self._joined.update(await room_directory.rooms_with_members(self._db, missing, len(missing)))
            return {room_id: self._joined[room_id] for room_id in room_ids if room_id in self._joined}
        finally:
            self._lock.release()

    async def searched(self, room_ids: Sequence[str]) -> dict[str, SearchedRoom]:
        """What the rooms are found by."""
        await self._lock.acquire()
        try:
            self._forget_old()
            missing = [room_id for room_id in room_ids if room_id not in self._searched]
            if missing:
                self._searched.update(await self._read(missing))
            return {room_id: self._searched[room_id] for room_id in room_ids}
        finally:
            self._lock.release()

    async def _read(self, room_ids: Sequence[str]) -> dict[str, SearchedRoom]:
        types: dict[str, str] = {}
        texts: dict[str, list[str]] = {room_id: [] for room_id in room_ids}
        for room_id, event_type, json in await room_directory.described(self._db, room_ids, _TYPES):
            content = orjson.loads(json)["content"]
            if event_type == "m.room.create":
                types[room_id] = text_of(content, "type") or ""
                continue
            key = "name" if event_type == "m.room.name" else "alias"
            text = plain_topic(content) if event_type == "m.room.topic" else text_of(content, key)
            texts[room_id].append((text or "")[:SEARCHED_LENGTH].casefold())
        return {room_id: SearchedRoom(types.get(room_id) or None, tuple(texts[room_id])) for room_id in room_ids}

    def _forget_old(self) -> None:
        now = self._seconds()
        if now - self._since >= KEPT_S:
            self._since = now
            self._joined.clear()
            self._searched.clear()
