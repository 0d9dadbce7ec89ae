"""Our media for other servers.

https://spec.matrix.org/v1.19/server-server-api/#content-repository
"""

from collections.abc import Callable
from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply, Response, Streamed
from hs_common.http.request import Request
from hs_common.http.streaming import ByteSource
from hs_workers.media.authed_content_repo import AuthedContentRepo
from hs_workers.media.blobs import BlobStore
from hs_workers.media.disposition import content_disposition
from hs_workers.media.downloading import Described, Downloading, SentBlob
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.remote.multipart import around

BOUNDARY_BYTES: Final = 16
"""Random, so that nobody can upload a file with the boundary in it."""


class ContentRepository:
    """`random(n)` gives n unpredictable bytes."""

    def __init__(
        self,
        downloading: Downloading,
        downloads: AuthedContentRepo,
        store: BlobStore,
        metrics: MediaMetrics,
        random: Callable[[int], bytes],
    ) -> None:
        self._downloading = downloading
        self._downloads = downloads
        self._store = store
        self._metrics = metrics
        self._random = random

    @endpoint(
        "GET",
        "/_matrix/federation/v1/media/download/{mediaId}",
        auth=Auth.SERVER,
        rate=Rate.DOWNLOAD,
        reads=False,
        waits=True,
        spec="server-server-api/#get_matrixfederationv1mediadownloadmediaid",
    )
    async def download(self, request: Request) -> Reply:
        """A file that somebody uploaded here."""
        found = await self._downloading.find(request, public_only=False)
        return await self._send(Described(found.sha256, found.content_type, found.file_name, is_public=False))

    @endpoint(
        "GET",
        "/_matrix/federation/v1/media/thumbnail/{mediaId}",
        auth=Auth.SERVER,
        rate=Rate.DOWNLOAD,
        reads=False,
        waits=True,
        spec="server-server-api/#get_matrixfederationv1mediathumbnailmediaid",
    )
    async def thumbnail(self, request: Request) -> Reply:
        """A thumbnail of such a file."""
        return await self._send(await self._downloads.described_thumbnail(request, public_only=False))

    async def _send(self, described: Described) -> Reply:
        """Two parts: an empty object, and the bytes or where they can be had."""
        boundary = self._random(BOUNDARY_BYTES).hex()
        disposition = content_disposition(described.content_type, described.file_name)
        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}", "Cache-Control": "no-store"}
        url = self._store.signed_url(described.sha256, described.content_type, disposition)
        if url is not None:
            self._metrics.redirected()
            return Response(200, b"".join(around(boundary, {"Location": url})), headers)
        own = {"Content-Type": described.content_type, "Content-Disposition": disposition}
        before, after = around(boundary, own)
        blob = await self._downloading.open(described.sha256)
        source = _Enclosed(before, SentBlob(blob, 0, self._metrics), after)
        return Streamed(200, headers, len(before) + blob.size + len(after), source)


class _Enclosed:
    """A source with something before and behind it."""

    def __init__(self, before: bytes, source: ByteSource, after: bytes) -> None:
        self._before = before
        self._source = source
        self._after = after

    async def read(self, size: int) -> bytes:
        if self._before:
            data, self._before = self._before[:size], self._before[size:]
            return data
        data = await self._source.read(size)
        if not data:
            data, self._after = self._after[:size], self._after[size:]
        return data

    def close(self) -> None:
        self._source.close()
