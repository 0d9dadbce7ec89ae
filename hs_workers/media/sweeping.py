"""Deletes bytes that belong to nobody: what a crash left behind, what was never used, what deleted media leave.

Rules: nothing that was written within the grace goes, as it may be an upload that is just being finished: it would have
to write again. How a content goes that somebody uploads at that moment is told in `deleting`. Several workers may sweep
at once.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

from twisted.logger import Logger

from hs_common.process.ongoing import Ongoing
from hs_common.replication.clock import Clock, pause
from hs_common.storage import media, media_contents
from hs_common.storage.queries import DatabaseError, Queries, StatementRefused
from hs_workers.media.blobs import PREFIXES, BlobStore, StorageFailed
from hs_workers.media.deleting import CLAIM_MS, Deleting
from hs_workers.media.metrics import MediaMetrics

FIRST_S: Final = 300.0
"""After the start, so that a worker that is restarted often sweeps too, and one that starts has better things to do."""
INTERVAL_S: Final = 3600.0
GRACE_S: Final = 3600.0
"""Far above the seconds between an upload's last byte and its row, and the longest pause within an upload."""
BATCH: Final = 500
PREFIXES_AT_ONCE: Final = 8
"""The whole place is listed every 32 hours: contents without rows are those of a database that was set back, and of
workers that died between an upload's bytes and its row."""


class Sweeper:
    """`now_ms` is the time of day; `forget` ends the media that are due, so that their bytes can go."""

    def __init__(
        self,
        db: Queries,
        store: BlobStore,
        deleting: Deleting,
        clock: Clock,
        now_ms: Callable[[], int],
        metrics: MediaMetrics,
        forget: Callable[[], Awaitable[None]],
        grace_s: float = GRACE_S,
    ) -> None:
        self._db = db
        self._store = store
        self._deleting = deleting
        self._clock = clock
        self._now_ms = now_ms
        self._metrics = metrics
        self._forget = forget
        self._grace_s = grace_s
        self._next_prefix = 0
        self._sweeping = Ongoing(clock, "sweeping media", self._sweep_on)
        self._log = Logger()

    async def start(self) -> None:
        """Sweeps now and then, from now on."""
        self._sweeping.start()

    async def stop(self) -> None:
        """Ends that."""
        self._sweeping.stop()

    async def _sweep_on(self) -> None:
        await pause(self._clock, FIRST_S)
        while True:
            prefixes = [(self._next_prefix + step) % PREFIXES for step in range(PREFIXES_AT_ONCE)]
            try:
                await self.sweep(prefixes)
                self._next_prefix = (self._next_prefix + PREFIXES_AT_ONCE) % PREFIXES
            except (DatabaseError, StorageFailed) as error:
                self._log.warn("Media are swept later: {error}", error=error)
            await pause(self._clock, INTERVAL_S)

    async def sweep(self, prefixes: Iterable[int] = range(PREFIXES)) -> None:
        """Sweeps once; those parts of the place are listed in search of contents without a row."""
        self._metrics.swept("unfinished", await self._store.delete_unfinished(self._grace_s))
        self._metrics.swept("expired", await media.delete_expired(self._db, self._now_ms()))
        await self._forget()
        await self._sweep_unused()
        await self._forget_deletions()
        for prefix in prefixes:
            await self._sweep_strays(prefix)

    async def _sweep_unused(self) -> None:
        """Contents of no media; at last those of the thumbnails that went with them."""
        while True:
            unused = await media_contents.unused_contents(self._db, self._now_ms() - CLAIM_MS, BATCH)
            deleted = 0
            for sha256 in unused:
                deleted += await self._deleting.delete(sha256)
            self._metrics.swept("unused", deleted)
            if deleted == 0:
                return

    async def delete_now(self, digests: Iterable[bytes]) -> None:
        """Deletes those of the contents that nobody has any more, and their thumbnails, unless one was claimed within
        the last hour: those go later. Raises StorageFailed."""
        for sha256 in set(digests):
            thumbnails = await media.thumbnail_contents(self._db, sha256)
            if await self._deleting.delete(sha256):
                for thumbnail in thumbnails:
                    await self._deleting.delete(thumbnail)

    async def _forget_deletions(self) -> None:
        """Before strays are looked for: what was written under a deletion and never recorded is one then."""
        with suppress(StatementRefused):  # one has become part of something meanwhile: all go with the next sweep
            await self._deleting.forget()

    async def _sweep_strays(self, prefix: int) -> None:
        old = [found.sha256 for found in await self._store.contents(prefix) if found.age_s >= self._grace_s]
        known = await media_contents.known_contents(self._db, old) if old else set()
        for sha256 in old:
            if sha256 not in known:
                self._metrics.swept("stray", await self._deleting.delete_stray(sha256))
