"""How bytes become a content, whoever they come from: received in pieces, counted and hashed while they come, made
durable, and only then recorded.

Rules: nothing is noted before the bytes are in their place. Whatever ends it before they are recorded leaves bytes that
nobody points at; they are thrown away here, or by the sweeper. Bytes that were deleted between the two, because
somebody else's same ones were, are put in place once more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from twisted.logger import Logger

from hs_common.process.background import Background
from hs_common.replication.clock import Clock, pause
from hs_common.storage import media_contents
from hs_common.storage.database import Database
from hs_common.storage.queries import DatabaseError, Queries, StatementConflict
from hs_workers.media.blobs import BlobStore, Digest, StorageFailed
from hs_workers.media.collecting import HELD_BYTES as ONE_HELD_BYTES
from hs_workers.media.collecting import Collecting
from hs_workers.media.deleting import DEAD_MS, REMEMBERED_MS, Deleting

HELD_BYTES: Final = 32 * 1024 * 1024
"""Of all contents that are coming, until they are written: the more there are, the less of each."""
LEAST_HELD_BYTES: Final = 64 * 1024
HEAD_BYTES: Final = 256 * 1024
"""The beginning of a content, for who wants to see what it is. Pictures say their size well within it."""
RECORD_LIMIT_MS: Final = REMEMBERED_MS // 6
"""What takes longer, from before its bytes are in place until they are recorded, may have missed a deletion, and is
taken for deleted. Well below the time for which those are remembered, as clocks differ."""
ATTEMPTS: Final = 4
"""To record: each fails only if the same content was deleted once more meanwhile."""
CLAIM_LIMIT_S: Final = 20.0
"""A deletion takes no longer; if its worker died the client is told to come back."""
CLAIM_PAUSE_S: Final = 0.25


class ReceivedTooMuch(Exception):
    """The content is larger than the limit."""


class Incoming:
    """One content on its way in."""

    def __init__(self, db: Database, content: Collecting, clock: Clock, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._content = content
        self._clock = clock
        self._now_ms = now_ms
        self.head = b""
        """Its first bytes, once it was received with `wants_head`."""
        self.unrecorded: bytes | None = None
        """The digest of what may be in its place, until it is recorded."""

    async def receive(
        self, read: Callable[[], Awaitable[bytes]], limit_bytes: int, *, wants_head: bool = False
    ) -> Digest:
        """Reads until nothing more comes. Raises ReceivedTooMuch, StorageFailed, and what `read` raises."""

        async def read_pieces() -> Sequence[bytes]:
            data = await read()
            if wants_head and len(self.head) < HEAD_BYTES:
                self.head += data[: HEAD_BYTES - len(self.head)]
            return (data,) if data else ()

        return await self.receive_pieces(read_pieces, limit_bytes)

    async def receive_pieces(self, read: Callable[[], Awaitable[Sequence[bytes]]], limit_bytes: int) -> Digest:
        """The same, where `read` gives several pieces at a time."""
        content = self._content
        while pieces := await read():
            size = sum(map(len, pieces))
            if content.size + size > limit_bytes:
                raise ReceivedTooMuch
            await content.add(pieces, size)
        return content.digest()

    async def keep(self, digest: Digest, record: Callable[[int | None], Awaitable[bool]]) -> None:
        """Puts it in its place, and then has it recorded together with what refers to it: `record` is given the
        deletion to accept, and answers False, without having noted anything, if there was another one. Raises
        StorageFailed, and what `record` raises."""
        accepted: int | None = None
        for _ in range(ATTEMPTS):
            began_ms = self._now_ms()
            await self._put(digest)
            if self._is_soon_after(began_ms) and await self._recorded(record, accepted):
                self.unrecorded = None
                if not self._is_soon_after(began_ms):  # this process stood still; what is recorded nobody deletes
                    await self._content.keep()
                return
            accepted = await self._claim(digest)
        raise StorageFailed("The same content was deleted again and again")

    def _is_soon_after(self, began_ms: int) -> bool:
        return abs(self._now_ms() - began_ms) < RECORD_LIMIT_MS

    async def _put(self, digest: Digest) -> None:
        self.unrecorded = digest.sha256  # also if the client goes meanwhile: a thread may put it in its place yet
        try:
            await self._content.keep()
        except StorageFailed:
            self.unrecorded = None
            raise

    async def keep_with(self, digest: Digest, record: Callable[[Queries], Awaitable[None]]) -> None:
        """The same, where `record` notes only what refers to it, in a transaction."""

        async def recorded(accepted: int | None) -> bool:
            async with self._db.transaction() as txn:
                if not await media_contents.record_content(txn, digest.sha256, digest.size, accepted):
                    return False
                await record(txn)
            return True

        await self.keep(digest, recorded)

    async def _recorded(self, record: Callable[[int | None], Awaitable[bool]], accepted: int | None) -> bool:
        try:
            return await record(accepted)
        except StatementConflict:  # somebody takes long to delete it
            return False

    async def _claim(self, digest: Digest) -> int | None:
        """The last deletion of the content, once it has ended and no other one can begin for a while."""
        end_s = self._clock.seconds() + CLAIM_LIMIT_S
        while self._clock.seconds() < end_s:
            now_ms = self._now_ms()
            try:
                claimed = await media_contents.claim_content(self._db, digest.sha256, digest.size, now_ms)
            except StatementConflict:
                continue
            if claimed.deletion_ts is None or not claimed.is_deleting or claimed.deletion_ts <= now_ms - DEAD_MS:
                return claimed.deletion_ts
            await pause(self._clock, CLAIM_PAUSE_S)
        raise StorageFailed("The same content is just being deleted")


class Keeping:
    """`now_ms` is the time of day."""

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        deleting: Deleting,
        background: Background,
        clock: Clock,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._store = store
        self._deleting = deleting
        self._background = background
        self._clock = clock
        self._now_ms = now_ms
        self._under_way = 0
        self._log = Logger()

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[Incoming]:
        """A content, thrown away if it was not recorded when the block ends, or if that raises."""
        content = Collecting(self._store.receive(), self._held_bytes)
        incoming = Incoming(self._db, content, self._clock, self._now_ms)
        self._under_way += 1
        try:
            yield incoming
        finally:
            self._under_way -= 1
            if not content.let_go() or incoming.unrecorded is not None:
                self._background("discard upload", self._discard(content, incoming.unrecorded))

    async def _discard(self, content: Collecting, unrecorded: bytes | None) -> None:
        await content.discard()
        if unrecorded is None:
            return
        try:
            await self._deleting.delete_refused(unrecorded)
        except (DatabaseError, StorageFailed) as error:
            self._log.warn("An upload that was not recorded goes with a later sweep: {error}", error=error)

    def _held_bytes(self) -> int:
        return max(LEAST_HELD_BYTES, min(ONE_HELD_BYTES, HELD_BYTES // self._under_way))
