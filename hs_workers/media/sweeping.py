"""Deletes bytes that belong to nobody: what a crash left behind, what was never used, what deleted media leave.

Rules: nothing younger than the grace goes, as it may be an upload that is just being finished. A content goes inside of
a transaction that has its row locked, and an upload claims the row first: so it either keeps the old bytes or waits and
brings its own. Several workers may sweep at once.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from twisted.logger import Logger

from hs_common.process.ongoing import Ongoing
from hs_common.replication.clock import Clock, pause
from hs_common.storage import media
from hs_common.storage.database import Database
from hs_common.storage.queries import DatabaseError, StatementRefused
from hs_workers.media.blobs import PREFIXES, BlobStore, StorageFailed
from hs_workers.media.metrics import MediaMetrics

FIRST_S: Final = 300.0
"""After the start, so that a worker that is restarted often sweeps too, and one that starts has better things to do."""
INTERVAL_S: Final = 3600.0
GRACE_S: Final = 3600.0
"""Far above the seconds between an upload's last byte and its row, and the longest pause within an upload."""
CLAIM_S: Final = 60.0
"""Within a minute of its claim an upload is recorded, unless it is large and the storage slow: it would then fail, were
the same content just being deleted by an operator."""
BATCH: Final = 500
PREFIXES_AT_ONCE: Final = 8
"""The whole place is listed every 32 hours: only a database that was set back leaves contents without rows."""


class Sweeper:
    """`now_ms` is the time of day; `forget` ends the media that are due, so that their bytes can go."""

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        clock: Clock,
        now_ms: Callable[[], int],
        metrics: MediaMetrics,
        forget: Callable[[], Awaitable[None]],
        grace_s: float = GRACE_S,
    ) -> None:
        self._db = db
        self._store = store
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
        for prefix in prefixes:
            await self._sweep_strays(prefix)

    def _grace_begins_ms(self) -> int:
        return self._now_ms() - round(self._grace_s * 1000)

    async def _sweep_unused(self) -> None:
        """Contents of no media; at last those of the thumbnails that went with them."""
        while True:
            unused = await media.unused_blobs(self._db, self._grace_begins_ms(), BATCH)
            deleted = 0
            for sha256 in unused:
                deleted += await self._delete_unused(sha256, self._grace_begins_ms())
            self._metrics.swept("unused", deleted)
            if deleted == 0:
                return

    async def delete_now(self, digests: Iterable[bytes]) -> None:
        """Deletes those of the contents that nobody has any more, and their thumbnails, unless one was claimed within
        the last minute: those go later. Raises StorageFailed."""
        before_ms = self._now_ms() - round(CLAIM_S * 1000)
        for sha256 in set(digests):
            thumbnails = await media.thumbnail_contents(self._db, sha256)
            if await self._delete_unused(sha256, before_ms):
                for thumbnail in thumbnails:
                    await self._delete_unused(thumbnail, before_ms)

    async def _delete_unused(self, sha256: bytes, touched_before_ms: int) -> bool:
        try:
            async with self._db.transaction() as txn:
                await media.delete_thumbnails(txn, sha256)
                if not await media.delete_blob(txn, sha256, touched_before_ms):
                    return False
                await self._store.delete(sha256)
        except StatementRefused:
            return False  # it has become part of something since it was looked for
        return True

    async def _sweep_strays(self, prefix: int) -> None:
        old = [found.sha256 for found in await self._store.contents(prefix) if found.age_s >= self._grace_s]
        known = await media.known_blobs(self._db, old) if old else set()
        for sha256 in old:
            if sha256 not in known:
                self._metrics.swept("stray", await self._delete_stray(sha256))

    async def _delete_stray(self, sha256: bytes) -> bool:
        """Its row is there, and locked, for as long as deleting takes."""
        async with self._db.transaction() as txn:
            if not await media.add_stray(txn, sha256):
                return False
            await self._store.delete(sha256)
            await media.delete_blob(txn, sha256, 1)
        return True
