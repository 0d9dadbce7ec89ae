"""A content on its way out: found by its id, with the headers that keep a browser from running it, whole or in part.

Spec: client-server-api/#content-repository.
"""

from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

from hs_common.http.reply import Reply, Response, Streamed
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, invalid_param, not_found, unknown
from hs_common.matrix.identifiers import is_media_id, is_server_name
from hs_workers.media.accesses import Accesses
from hs_workers.media.arrivals import Arrivals
from hs_workers.media.blobs import Blob, BlobStore, StorageFailed
from hs_workers.media.disposition import content_disposition
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.ranges import Part, Unsatisfiable, matches, wanted_part
from hs_workers.media.remote.remote_media import RemoteMediaFinder

WAIT_DEFAULT_MS: Final = 20_000
WAIT_LIMIT_MS: Final = 60_000
"""Below what proxies wait for an answer."""
NO_MEDIA: Final = "There are no such media"
_NEVER_CHANGES: Final = "max-age=31536000, immutable"
_SECURITY: Final = {
    # Recommended by the specification: nothing in a file that is opened by itself may run or load anything.
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; "
        "object-src 'self';"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive, noimageindex",
}


@dataclass(frozen=True, slots=True)
class Described:
    """What is sent. `tag` is its entity tag; `is_public` whether it was had without a token."""

    sha256: bytes
    content_type: str
    file_name: str | None
    is_public: bool

    @property
    def tag(self) -> str:
        return f'"{self.sha256.hex()}"'


@dataclass(frozen=True, slots=True)
class FoundMedia:
    """A medium that may be sent."""

    sha256: bytes
    content_type: str
    file_name: str | None
    is_remote: bool


class Downloading:
    """What downloads and thumbnails have in common. `server_name` is this server's."""

    def __init__(
        self,
        server_name: str,
        store: BlobStore,
        arrivals: Arrivals,
        remote: RemoteMediaFinder,
        accesses: Accesses,
        metrics: MediaMetrics,
        serves_public: bool,
        shown_before_login: frozenset[tuple[str, str]],
    ) -> None:
        """`serves_public`: whether media can be had without a token that are not known yet. `shown_before_login`, by
        server name and media id: media that can always be had so."""
        self._server_name = server_name
        self._store = store
        self._arrivals = arrivals
        self._remote = remote
        self._accesses = accesses
        self._metrics = metrics
        self._serves_public = serves_public
        self._shown_before_login = shown_before_login
        self._log = Logger()

    async def find(self, request: Request, *, public_only: bool) -> FoundMedia:
        """The media that the path names; waits for what is not uploaded yet, or on another server.

        404 `M_NOT_FOUND`, 504 `M_NOT_YET_UPLOADED`; 502 where another server does not answer well; 400
        `M_INVALID_PARAM` for a path that no content URI has.
        """
        server_name, media_id = request.path.get("serverName", self._server_name), request.path["mediaId"]
        if not is_server_name(server_name) or not is_media_id(media_id):
            raise invalid_param("That is not the address of media")
        timeout_ms = request.query.integer("timeout_ms", WAIT_DEFAULT_MS, minimum=0, maximum=WAIT_LIMIT_MS)
        public_only = public_only and (server_name, media_id) not in self._shown_before_login
        if server_name == self._server_name:
            return await self._find_local(media_id, timeout_ms, public_only)
        may_fetch = request.query.boolean("allow_remote", True) and (not public_only or self._serves_public)
        found = await self._remote.find(server_name, media_id, timeout_ms, may_fetch=may_fetch)
        if found.is_quarantined or (public_only and not found.is_public):
            raise not_found(NO_MEDIA)
        assert found.sha256 is not None, "found without content"
        self._accesses.note_remote(server_name, media_id)
        return FoundMedia(found.sha256, found.content_type, found.file_name, is_remote=True)

    async def _find_local(self, media_id: str, timeout_ms: int, public_only: bool) -> FoundMedia:
        found = await self._arrivals.find(media_id, 0 if public_only else timeout_ms)
        if found is None or found.is_quarantined or (public_only and not found.is_public):
            raise not_found(NO_MEDIA)
        if found.sha256 is None:
            raise MatrixError(504, "M_NOT_YET_UPLOADED", "The media have not been uploaded yet")
        self._accesses.note(media_id)
        return FoundMedia(found.sha256, found.content_type, found.file_name, is_remote=False)

    async def send(self, request: Request, described: Described, *, may_redirect: bool) -> Reply:
        """The content, all or the part that is asked for; 304 if the client has it; 307 if it may fetch it itself."""
        headers = _headers(described)
        if matches(request.headers.get("If-None-Match") or "", described.tag):
            return Response(304, b"", headers)
        url = self._store.signed_url(described.sha256, described.content_type, headers["Content-Disposition"])
        if url is not None and may_redirect:
            # Not to be kept: the URL does not hold for long.
            self._metrics.redirected()
            return Response(307, b"", {"Location": url, "Cache-Control": "no-store", "Content-Type": "text/plain"})
        blob = await self.open(described.sha256)
        try:
            part = _part(request, described, blob.size)
        except Unsatisfiable:
            size = blob.size
            blob.close()
            error = {"errcode": "M_UNKNOWN", "error": f"The file has {size} bytes, and none of them is in that range"}
            return Response(416, error, {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
        if part is None:
            return Streamed(200, headers, blob.size, SentBlob(blob, 0, self._metrics))
        headers["Content-Range"] = f"bytes {part.first}-{part.first + part.length - 1}/{blob.size}"
        return Streamed(206, headers, part.length, SentBlob(blob, part.first, self._metrics))

    async def open(self, sha256: bytes) -> Blob:
        """The content's bytes. 503 if they cannot be had now; 404 if they are lost, which an operator is told of."""
        try:
            blob = await self._store.open(sha256)
        except StorageFailed as error:
            raise unknown("Media cannot be read at the moment", status=503) from error
        if blob is None:
            self._metrics.storage_failed()
            self._log.error("The storage of media has lost {sha256}", sha256=sha256.hex())
            raise not_found("The media have been lost")
        return blob


def _headers(described: Described) -> dict[str, str]:
    return {
        "Content-Type": described.content_type,
        "Content-Disposition": content_disposition(described.content_type, described.file_name),
        "ETag": described.tag,
        "Cache-Control": f"{'public' if described.is_public else 'private'}, {_NEVER_CHANGES}",
        "Accept-Ranges": "bytes",
        **_SECURITY,
    }


def _part(request: Request, described: Described, size: int) -> Part | None:
    """A part is for GET alone, and only of what the client has the rest of. Raises Unsatisfiable."""
    if_range = request.headers.get("If-Range")
    if request.method != "GET" or (if_range is not None and if_range.strip() != described.tag):
        return None
    return wanted_part(request.headers.get("Range"), size)


class SentBlob:
    """A blob from some offset on, counted as it is read."""

    def __init__(self, blob: Blob, offset: int, metrics: MediaMetrics) -> None:
        self._blob = blob
        self._offset = offset
        self._metrics = metrics

    async def read(self, size: int) -> bytes:
        data = await self._blob.read(self._offset, size)
        self._offset += len(data)
        self._metrics.sent(len(data))
        return data

    def close(self) -> None:
        self._blob.close()
