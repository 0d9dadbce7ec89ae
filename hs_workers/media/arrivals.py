"""Waiting for the content of a media id that was created before its upload.

An upload to this worker wakes those who wait here at once; one to another worker is found by looking again.
"""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from hs_common.replication.clock import Clock
from hs_common.storage import media
from hs_common.storage.media import Media
from hs_common.storage.queries import Queries

LOOK_AGAIN_S: Final = 1.0
"""What an upload to another worker may be late by; one small query a second for each who waits."""
WAITING_LIMIT: Final = 1000
"""Who comes on top of them is answered at once that nothing is there yet."""


class Arrivals:
    """Who waits for which id. `now_ms` is the time of day."""

    def __init__(self, db: Queries, clock: Clock, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock
        self._now_ms = now_ms
        self._waiting: dict[str, set[Deferred[None]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def arrived(self, media_id: str) -> None:
        """The content is there."""
        for waiting in list(self._waiting.pop(media_id, ())):
            if not waiting.called:
                waiting.callback(None)

    async def find(self, media_id: str, timeout_ms: int) -> Media | None:
        """The media with that id: None if there is none or the id has expired; without content if that did not come
        within the time."""
        end_s = self._clock.seconds() + timeout_ms / 1000
        while True:
            found = await media.find_media(self._db, media_id)
            if found is None or found.sha256 is not None:
                return found
            if found.expires_ts is not None and found.expires_ts <= self._now_ms():
                return None
            left_s = end_s - self._clock.seconds()
            if left_s <= 0 or len(self) >= WAITING_LIMIT:
                return found
            await self._wait(media_id, min(left_s, LOOK_AGAIN_S))

    async def _wait(self, media_id: str, seconds: float) -> None:
        waiting: Deferred[None] = Deferred()
        here = self._waiting.setdefault(media_id, set())
        here.add(waiting)
        timer = self._clock.callLater(seconds, waiting.callback, None)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()
            here.discard(waiting)
            if not here and self._waiting.get(media_id) is here:
                del self._waiting[media_id]
