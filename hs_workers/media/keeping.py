"""How bytes become a content, whoever they come from: received in pieces, counted and hashed while they come, made
durable, and only then recorded.

Whatever ends it before that leaves bytes that nobody points at; they are thrown away here, or by the sweeper.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from hs_common.process.background import Background
from hs_common.storage import media
from hs_common.storage.queries import Queries
from hs_workers.media.blobs import BlobStore, Digest
from hs_workers.media.collecting import HELD_BYTES as ONE_HELD_BYTES
from hs_workers.media.collecting import Collecting

HELD_BYTES: Final = 32 * 1024 * 1024
"""Of all contents that are coming, until they are written: the more there are, the less of each."""
LEAST_HELD_BYTES: Final = 64 * 1024
HEAD_BYTES: Final = 256 * 1024
"""The beginning of a content, for who wants to see what it is. Pictures say their size well within it."""


class ReceivedTooMuch(Exception):
    """The content is larger than the limit."""


class NoRoom(Exception):
    """Its uploader has as much as he may have."""


class Uploader(NamedTuple):
    """Who uploads; `most` bytes are what users may have who have no limit of their own, None: as many as they like."""

    user_id: str
    most: int | None


class Incoming:
    """One content on its way in."""

    def __init__(self, db: Queries, content: Collecting, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._content = content
        self._now_ms = now_ms
        self.head = b""
        """Its first bytes, once it was received with `wants_head`."""
        self.is_kept = False

    async def receive(
        self, read: Callable[[], Awaitable[bytes]], limit_bytes: int, *, wants_head: bool = False
    ) -> Digest:
        """Reads until nothing more comes. Raises ReceivedTooMuch, StorageFailed, and what `read` raises."""
        content = self._content
        while data := await read():
            if content.size + len(data) > limit_bytes:
                raise ReceivedTooMuch
            if wants_head and len(self.head) < HEAD_BYTES:
                self.head += data[: HEAD_BYTES - len(self.head)]
            await content.add(data)
        return content.digest()

    async def keep(
        self, digest: Digest, record: Callable[[Queries], Awaitable[None]], uploader: Uploader | None = None
    ) -> None:
        """Puts it in its place, and then has it recorded. Raises NoRoom if its uploader has none, StorageFailed, and
        what `record` raises."""
        now_ms = self._now_ms()
        if uploader is None:
            await media.claim_blob(self._db, digest.sha256, digest.size, now_ms)
        elif not await media.claim_upload(self._db, digest.sha256, digest.size, now_ms, *uploader):
            raise NoRoom
        await self._content.keep()
        self.is_kept = True
        await record(self._db)


class Keeping:
    """`now_ms` is the time of day."""

    def __init__(self, db: Queries, store: BlobStore, background: Background, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._store = store
        self._background = background
        self._now_ms = now_ms
        self._under_way = 0

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[Incoming]:
        """A content, thrown away if it was not kept when the block ends, or if that raises."""
        content = Collecting(self._store.receive(), self._held_bytes)
        incoming = Incoming(self._db, content, self._now_ms)
        self._under_way += 1
        try:
            yield incoming
        finally:
            self._under_way -= 1
            if not incoming.is_kept:
                self._background("discard upload", content.discard())

    def _held_bytes(self) -> int:
        return max(LEAST_HELD_BYTES, min(ONE_HELD_BYTES, HELD_BYTES // self._under_way))
