"""How bytes become a content, whoever they come from: received in pieces, counted and hashed while they come, made
durable, and only then recorded.

Whatever ends it before that leaves bytes that nobody points at; they are thrown away here, or by the sweeper.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from hs_common.process.background import Background
from hs_common.storage import media
from hs_common.storage.database import Database
from hs_common.storage.queries import Queries
from hs_workers.media.blobs import BlobStore, Digest, Receiving

PIECE_BYTES: Final = 256 * 1024
"""Written at once: a thread costs the same for a small piece as for this, which is still little to hold."""
HEAD_BYTES: Final = 256 * 1024
"""The beginning of a content, for who wants to see what it is. Pictures say their size well within it."""


class ReceivedTooMuch(Exception):
    """The content is larger than the limit."""


class Incoming:
    """One content on its way in."""

    def __init__(self, db: Database, receiving: Receiving, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._receiving = receiving
        self._now_ms = now_ms
        self.head = b""
        """Its first bytes, once it was received with `wants_head`."""
        self.is_kept = False

    async def receive(
        self, read: Callable[[], Awaitable[bytes]], limit_bytes: int, *, wants_head: bool = False
    ) -> Digest:
        """Reads until nothing more comes. Raises ReceivedTooMuch, StorageFailed, and what `read` raises."""
        size, held, pieces = 0, 0, list[bytes]()
        while data := await read():
            size += len(data)
            if size > limit_bytes:
                raise ReceivedTooMuch
            if wants_head and len(self.head) < HEAD_BYTES:
                self.head += data[: HEAD_BYTES - len(self.head)]
            held += len(data)
            pieces.append(data)
            if held >= PIECE_BYTES:
                await self._receiving.write(b"".join(pieces))
                held = 0
                pieces.clear()
        await self._receiving.write(b"".join(pieces))
        return await self._receiving.complete()

    async def keep(self, digest: Digest, record: Callable[[Queries], Awaitable[None]]) -> None:
        """Puts it in its place, and then has it recorded, in one transaction. Raises StorageFailed and what `record`
        raises."""
        await media.claim_blob(self._db, digest.sha256, digest.size, self._now_ms())
        await self._receiving.keep()
        self.is_kept = True
        async with self._db.transaction() as txn:
            await record(txn)


class Keeping:
    """`now_ms` is the time of day."""

    def __init__(self, db: Database, store: BlobStore, background: Background, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._store = store
        self._background = background
        self._now_ms = now_ms

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[Incoming]:
        """A content, thrown away if it was not kept when the block ends, or if that raises."""
        receiving = self._store.receive()
        incoming = Incoming(self._db, receiving, self._now_ms)
        try:
            yield incoming
        finally:
            if not incoming.is_kept:
                self._background("discard upload", receiving.discard())
