"""An upload, from its first byte to its row: its limits are checked while it comes, and it is known under its id only
when it is durable."""

from collections.abc import Awaitable, Callable

from twisted.logger import Logger

from hs_common.config.media import Media as MediaConfig
from hs_common.http.request import Request
from hs_common.matrix.errors import forbidden, invalid_param, too_large, unknown
from hs_common.storage import media
from hs_common.storage.database import Database
from hs_common.storage.media import Content, Uploaded
from hs_common.storage.queries import Queries
from hs_workers.media.blobs import StorageFailed
from hs_workers.media.disposition import FILE_NAME_LIMIT, kept_content_type
from hs_workers.media.keeping import Keeping, ReceivedTooMuch
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.stored_bytes import StoredBytes

Record = Callable[[Queries, Content, int | None, int | None], Awaitable[Uploaded]]
"""Records the content under its id and counts it, in one statement, unless its user had then more than so many bytes;
last comes the deletion to accept. Raises MatrixError if there is another reason against it."""


class Uploading:
    """Uploads, one by one."""

    def __init__(
        self,
        config: MediaConfig,
        db: Database,
        keeping: Keeping,
        metrics: MediaMetrics,
        stored_bytes: StoredBytes,
    ) -> None:
        self._config = config
        self._db = db
        self._keeping = keeping
        self._metrics = metrics
        self._stored_bytes = stored_bytes
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
        try:
            async with self._keeping.incoming() as incoming:
                digest = await incoming.receive_pieces(stream.read_pieces, self._config.upload_bytes)
                content = Content(
                    sha256=digest.sha256,
                    size=digest.size,
                    content_type=kept_content_type(request.headers.get("Content-Type")),
                    file_name=file_name or None,
                    is_public=self._config.unauthenticated_access,
                )
                await incoming.keep(digest, lambda accepted: self._record(content, record, accepted))
        except ReceivedTooMuch as error:
            raise self._too_large() from error
        except StorageFailed as error:
            self._log.error("An upload could not be stored: {error}", error=error)
            raise unknown("Media cannot be stored at the moment", status=503) from error
        self._metrics.stored(digest.size)
        self._stored_bytes.stored(digest.size)

    async def _check_announced(self, user_id: str, size: int | None) -> None:
        """What is known to be too much is refused before it is sent."""
        if size is not None and size > self._config.upload_bytes:
            raise self._too_large()
        total = self._config.total_bytes
        if total and not await self._stored_bytes.has_room(size or 0, total):
            raise forbidden("This server has no space for more media")
        most = self._config.user_bytes
        if most and not await media.has_room(self._db, user_id, size or 0, most):
            raise _quota_exceeded()

    async def _record(self, content: Content, record: Record, accepted: int | None) -> bool:
        uploaded = await record(self._db, content, self._config.user_bytes or None, accepted)
        if uploaded is Uploaded.REFUSED:
            raise _quota_exceeded()
        return uploaded is Uploaded.RECORDED

    def _too_large(self) -> Exception:
        return too_large(f"Uploads can have {self._config.upload_bytes} bytes at most")


def _quota_exceeded() -> Exception:
    return forbidden("Your uploads take as much space as they may")
