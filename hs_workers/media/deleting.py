"""Deletes the bytes of a content that nobody has, however many upload the same or delete it at the same time.

A step at a time, each durable before the next: the row says that the bytes are going (whoever put them in place before
is not let record them any more, and writes them again); then, under a lock of the row and if nobody wants them after
all, they go; then the row says that they are gone, for as long as an upload may take from its bytes to its record.
Whoever dies between leaves a row that the sweeper finds.
"""

from collections.abc import Callable
from typing import Final

from hs_common.storage import media_contents
from hs_common.storage.database import Database
from hs_workers.media.blobs import BlobStore

CLAIM_MS: Final = 3_600_000
"""So long after it was claimed a content is not deleted: far above the time in which somebody writes it who has to
write it again, or a worker from before migration 0037, which claims each before it writes it."""
DEAD_MS: Final = 180_000
"""A deletion that has not ended by then will not: its worker died."""
BEGIN_LIMIT_MS: Final = 30_000
"""What comes to its bytes later than that leaves them to a sweep: an object store that does not answer is asked for
107 s, and what it is asked must be over when the worker is taken for dead. (Its lock may be gone by then: the database
ends a transaction that does nothing for 5 s.)"""
REMEMBERED_MS: Final = 3_600_000
"""That a content was deleted; see `keeping.RECORD_LIMIT_MS`."""


class Deleting:
    """`now_ms` is the time of day."""

    def __init__(self, db: Database, store: BlobStore, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._store = store
        self._now_ms = now_ms

    async def delete(self, sha256: bytes) -> bool:
        """Whether the content went: not if something is made of it or it was claimed. Raises StorageFailed."""
        return await self._delete(sha256, gone_too=False)

    async def _delete(self, sha256: bytes, *, gone_too: bool) -> bool:
        began_ms = self._now_ms()
        deletion_ts = await self._begin(sha256, gone_too, began_ms)
        return deletion_ts is not None and await self._finish(sha256, deletion_ts, began_ms)

    async def delete_stray(self, sha256: bytes) -> bool:
        """The same with a content of the storage that has no row: not if it has one by now."""
        began_ms = self._now_ms()
        deletion_ts = await media_contents.note_stray(self._db, sha256, began_ms)
        return deletion_ts is not None and await self._finish(sha256, deletion_ts, began_ms)

    async def delete_refused(self, sha256: bytes) -> None:
        """What was put in place and could not be recorded, unless somebody else has the same. Raises StorageFailed."""
        if not await self.delete_stray(sha256):
            await self._delete(sha256, gone_too=True)

    async def forget(self) -> int:
        """Forgets deletions that nobody can have missed any more; answers how many."""
        before_ms = self._now_ms() - REMEMBERED_MS
        await media_contents.settle_revived(self._db, before_ms)
        return await media_contents.forget_deletions(self._db, before_ms)

    async def _begin(self, sha256: bytes, gone_too: bool, now_ms: int) -> int | None:
        claimed_before_ms, begun_before_ms = now_ms - CLAIM_MS, now_ms - DEAD_MS
        async with self._db.transaction() as txn:
            if not await media_contents.lock_unclaimed(
                txn, sha256, claimed_before_ms, begun_before_ms, gone_too=gone_too
            ):
                return None
            return await media_contents.begin_deletion(txn, sha256, now_ms)

    async def _finish(self, sha256: bytes, deletion_ts: int, began_ms: int) -> bool:
        async with self._db.transaction() as txn:
            if not await media_contents.lock_deletion(txn, sha256, deletion_ts):
                return False
            if abs(self._now_ms() - began_ms) > BEGIN_LIMIT_MS:
                return False
            is_wanted = await media_contents.is_wanted(txn, sha256)
            if not is_wanted:
                await media_contents.delete_thumbnails(txn, sha256)
                await self._store.delete(sha256)
            await media_contents.end_deletion(txn, sha256)
        return not is_wanted
