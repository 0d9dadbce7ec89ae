"""Thumbnails: found among those that were made, or made once however many ask at the same time, and kept.

Spec: client-server-api/#thumbnails.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.matrix.errors import MatrixError, limit_exceeded, too_large, unknown
from hs_common.process.background import Background
from hs_common.storage import media, media_contents
from hs_common.storage.database import Database
from hs_common.storage.media import StoredThumbnail, ThumbnailKey
from hs_common.storage.queries import Queries
from hs_workers.media.blobs import Blob, BlobStore, StorageFailed
from hs_workers.media.keeping import Keeping
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.thumbnail_processes import ThumbnailProcesses
from hs_workers.media.thumbnail_protocol import Answer, Job, Kind

SOURCE_LIMIT_BYTES: Final = 48 << 20
"""Files of pictures above this are rare and slow; each that is worked on is held in memory."""
WAITING_LIMIT: Final = 200
"""At 50 ms and two processes this is five seconds of waiting."""
RETRY_AFTER_MS: Final = 2_000
KEPT_LIMIT: Final = 24
"""Thumbnails that are kept of one content: the ladder has 15, crops of odd aspects come on top. Beyond, each is made
when it is asked for."""
REFUSED_LIMIT: Final = 10_000
"""Contents that are known to have none, so that nobody has the same hostile file worked on again and again."""

Outcome = StoredThumbnail | MatrixError


class Thumbnails:
    """`maximum_pixels` as in the config; `at_once` is how many are made at a time, `seconds` a monotonic clock."""

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        keeping: Keeping,
        processes: ThumbnailProcesses,
        background: Background,
        metrics: MediaMetrics,
        now_ms: Callable[[], int],
        seconds: Callable[[], float],
        maximum_pixels: int,
        at_once: int,
    ) -> None:
        self._db = db
        self._store = store
        self._keeping = keeping
        self._processes = processes
        self._background = background
        self._metrics = metrics
        self._now_ms = now_ms
        self._seconds = seconds
        self._maximum_pixels = maximum_pixels
        self._slots = DeferredSemaphore(at_once)
        self._making: dict[ThumbnailKey, list[Deferred[Outcome]]] = {}
        self._refused = Bounded[bytes, MatrixError](REFUSED_LIMIT)
        self._log = Logger()

    async def find(self, key: ThumbnailKey) -> StoredThumbnail:
        """The thumbnail. 413 `M_TOO_LARGE` for a picture that is too large, 400 `M_UNKNOWN` for what is no picture,
        429 if too many wait for theirs."""
        found = await media.find_thumbnail(self._db, key)
        if found is not None:
            self._metrics.thumbnail("found")
            return found
        refused = self._refused.get(key.source)
        if refused is not None:
            self._metrics.thumbnail("refused")
            raise refused
        outcome = await self._made(key)
        if isinstance(outcome, MatrixError):
            raise outcome
        return outcome

    def waiting(self) -> int:
        """How many are being made or wait for it."""
        return len(self._making)

    def _made(self, key: ThumbnailKey) -> Deferred[Outcome]:
        is_new = key not in self._making
        if is_new and len(self._making) >= WAITING_LIMIT:
            raise limit_exceeded(RETRY_AFTER_MS)
        waiting = self._making.setdefault(key, [])
        made: Deferred[Outcome] = Deferred(waiting.remove)
        waiting.append(made)
        if is_new:
            # Not as part of this request: the client may go, and others wait for the same.
            self._background("thumbnail", self._make_for_all(key))
        return made

    async def _make_for_all(self, key: ThumbnailKey) -> None:
        outcome: Outcome = unknown("The thumbnail could not be made", status=503)
        try:
            outcome = await self._slots.run(lambda: Deferred.fromCoroutine(self._make(key)))
        except StorageFailed as error:
            self._metrics.thumbnail("failed")
            self._log.error("A thumbnail could not be made: {error}", error=error)
        finally:
            for waiting in self._making.pop(key):
                waiting.callback(outcome)

    async def _make(self, key: ThumbnailKey) -> Outcome:
        blob = await self._store.open(key.source)
        if blob is None:
            raise StorageFailed(f"{key.source.hex()} is lost")
        try:
            answer = await self._answer(key, blob)
            size = blob.size
        finally:
            blob.close()
        if answer.kind is Kind.TOO_LARGE or answer.kind is Kind.UNREADABLE:
            return self._refuse(key.source, answer.kind)
        if answer.kind is Kind.ORIGINAL:
            self._metrics.thumbnail("original")
            made = StoredThumbnail(key.source, size, answer.content_type)
            await media.add_thumbnail(self._db, key, made.sha256, made.content_type)
            return made
        self._metrics.thumbnail("made")
        return await self._keep(key, answer)

    async def _answer(self, key: ThumbnailKey, blob: Blob) -> Answer:
        if blob.size > SOURCE_LIMIT_BYTES:
            return Answer(Kind.TOO_LARGE)
        pieces: list[bytes] = []
        read = 0
        while data := await blob.read(read, blob.size):
            read += len(data)
            pieces.append(data)
        job = Job(b"".join(pieces), key.width, key.height, self._maximum_pixels, key.method == "crop", key.animated)
        began_s = self._seconds()
        answer = await self._processes.make(job)
        self._metrics.made(self._seconds() - began_s)
        return answer

    def _refuse(self, source: bytes, kind: Kind) -> MatrixError:
        self._metrics.thumbnail("refused")
        if kind is Kind.TOO_LARGE:
            error = too_large("The picture is too large for a thumbnail")
        else:
            error = unknown("There are no thumbnails of such files", status=400)
        self._refused[source] = error
        return error

    async def _keep(self, key: ThumbnailKey, answer: Answer) -> StoredThumbnail:
        """Stores it as a content of its own."""
        async with self._keeping.incoming() as incoming:
            digest = await incoming.receive(_once(answer.data), len(answer.data))

            async def record(db: Queries) -> None:
                is_noted = await media.count_thumbnails(db, key.source) < KEPT_LIMIT and await media.add_thumbnail(
                    db, key, digest.sha256, answer.content_type
                )
                if not is_noted:  # it is swept later, and serves until then
                    await media_contents.claim_content(db, digest.sha256, digest.size, self._now_ms())

            await incoming.keep_with(digest, record)
        return StoredThumbnail(digest.sha256, digest.size, answer.content_type)


def _once(data: bytes) -> Callable[[], Awaitable[bytes]]:
    """Reads it, and then its end."""
    pieces = [data]

    async def read() -> bytes:
        return pieces.pop() if pieces else b""

    return read
