"""An upload, from its first byte to its row: received in pieces, counted and hashed while it comes, made durable, and
only then known under its id.

Whatever ends it before that (the client goes, the limit is passed, the disk is full, this process dies) leaves bytes
that nobody points at; they are thrown away here, or by the sweeper.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.logger import Logger

from hs_common.config.media import Media as MediaConfig
from hs_common.http.body_stream import BodyStream
from hs_common.http.request import Request
from hs_common.matrix.errors import forbidden, invalid_param, too_large, unknown
from hs_common.process.background import Background
from hs_common.storage import media
from hs_common.storage.database import Database
from hs_common.storage.media import Content
from hs_common.storage.queries import Queries
from hs_workers.media.blobs import BlobStore, Digest, Receiving, StorageFailed
from hs_workers.media.disposition import kept_content_type
from hs_workers.media.metrics import MediaMetrics

PIECE_BYTES: Final = 256 * 1024
"""Written at once: a thread costs the same for a small piece as for this, which is still little to hold."""
FILE_NAME_LIMIT: Final = 1024
"""Characters; file systems have 255."""

Record = Callable[[Queries, Content], Awaitable[None]]
"""Notes the content under its id, in the transaction that also counts it; raises MatrixError if that cannot be."""


class Uploading:
    """`now_ms` is the time of day."""

    def __init__(
        self,
        config: MediaConfig,
        db: Database,
        store: BlobStore,
        background: Background,
        now_ms: Callable[[], int],
        metrics: MediaMetrics,
    ) -> None:
        self._config = config
        self._db = db
        self._store = store
        self._background = background
        self._now_ms = now_ms
        self._metrics = metrics
        self._log = Logger()

    async def upload(self, request: Request, record: Record) -> None:
        """Receives the request's body and records it.

        413 `M_TOO_LARGE`, as soon as that is known; 403 `M_FORBIDDEN` for a user whose media take too much already;
        503 if the bytes cannot be stored now.
        """
        user_id, stream = request.requester.user_id, request.stream
        file_name = request.query.string("filename", None)
        if file_name is not None and len(file_name) > FILE_NAME_LIMIT:
            raise invalid_param(f"filename is longer than {FILE_NAME_LIMIT} characters")
        await self._check_announced(user_id, stream.length)
        receiving = self._store.receive()
        try:
            digest = await self._receive(stream, receiving)
            content = Content(
                sha256=digest.sha256,
                size=digest.size,
                content_type=kept_content_type(request.headers.get("Content-Type")),
                file_name=file_name or None,
                is_public=self._config.unauthenticated_access,
            )
            await self._keep(user_id, content, receiving, record)
        except StorageFailed as error:
            self._log.error("An upload could not be stored: {error}", error=error)
            self._background("discard upload", receiving.discard())
            raise unknown("Media cannot be stored at the moment", status=503) from error
        except BaseException:
            self._background("discard upload", receiving.discard())
            raise
        self._metrics.stored(digest.size)

    async def _check_announced(self, user_id: str, size: int | None) -> None:
        """What is known to be too much is refused before it is sent."""
        if size is not None and size > self._config.upload_bytes:
            raise self._too_large()
        if (
            self._config.user_bytes
            and await media.used_bytes(self._db, user_id) + (size or 0) > self._config.user_bytes
        ):
            raise _quota_exceeded()

    async def _receive(self, stream: BodyStream, receiving: Receiving) -> Digest:
        size, held, pieces = 0, 0, []
        while data := await stream.read():
            size += len(data)
            if size > self._config.upload_bytes:
                raise self._too_large()
            held += len(data)
            pieces.append(data)
            if held >= PIECE_BYTES:
                await receiving.write(b"".join(pieces))
                held = 0
                pieces.clear()
        await receiving.write(b"".join(pieces))
        return await receiving.complete()

    async def _keep(self, user_id: str, content: Content, receiving: Receiving, record: Record) -> None:
        await media.claim_blob(self._db, content.sha256, content.size, self._now_ms())
        await receiving.keep()
        async with self._db.transaction() as txn:
            if not await media.add_usage(txn, user_id, content.size, self._config.user_bytes or None):
                raise _quota_exceeded()
            await record(txn, content)

    def _too_large(self) -> Exception:
        return too_large(f"Uploads can have {self._config.upload_bytes} bytes at most")


def _quota_exceeded() -> Exception:
    return forbidden("Your uploads take as much space as they may")
