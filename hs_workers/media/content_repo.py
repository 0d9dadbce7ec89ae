"""Uploads, and the deprecated ways to download without a token.

https://spec.matrix.org/v1.19/client-server-api/#content-repository
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final

from hs_common.config.media import Media as MediaConfig
from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden, limit_exceeded, not_found
from hs_common.storage import media
from hs_common.storage.media import Content, Uploaded
from hs_common.storage.queries import Queries
from hs_workers.media.arrivals import Arrivals
from hs_workers.media.authed_content_repo import AuthedContentRepo
from hs_workers.media.uploading import Uploading

MEDIA_ID_BYTES: Final = 18
"""144 random bits: nobody guesses an id, which is all that keeps media from who was not told of them."""
PENDING_RETRY_MS: Final = 10_000
"""One of the user's pending uploads may be finished by then."""


class ContentRepo:
    """`now_ms` is the time of day; `random(n)` gives n unpredictable bytes."""

    def __init__(
        self,
        server_name: str,
        config: MediaConfig,
        db: Queries,
        uploading: Uploading,
        arrivals: Arrivals,
        downloads: AuthedContentRepo,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._server_name = server_name
        self._config = config
        self._db = db
        self._uploading = uploading
        self._arrivals = arrivals
        self._downloads = downloads
        self._now_ms = now_ms
        self._random = random

    @endpoint(
        "POST",
        "/_matrix/media/v3/upload",
        auth=Auth.USER,
        rate=Rate.MEDIA,
        aliases=("/_matrix/media/r0/upload", "/_matrix/media/v1/upload"),
        streams=True,
        waits=True,
        spec="client-server-api/#post_matrixmediav3upload",
    )
    async def upload(self, request: Request) -> Reply:
        """Stores the body under a new id."""
        media_id = self._new_id()
        user_id = request.requester.user_id

        async def record(db: Queries, content: Content, most: int | None, accepted: int | None) -> Uploaded:
            return await media.add_upload(db, media_id, user_id, self._now_ms(), content, most, accepted)

        await self._uploading.upload(request, record)
        return {"content_uri": self._uri(media_id)}

    @endpoint(
        "POST",
        "/_matrix/media/v1/create",
        auth=Auth.USER,
        rate=Rate.MEDIA,
        spec="client-server-api/#post_matrixmediav1create",
    )
    async def create(self, request: Request) -> Reply:
        """A new id, to be uploaded to later. 429 `M_LIMIT_EXCEEDED` for a user who has too many of those."""
        request.json(optional=True)  # says nothing yet, but what is not JSON is refused
        media_id, now_ms = self._new_id(), self._now_ms()
        expires_ms = now_ms + self._config.pending_lifetime_ms
        user_id, most = request.requester.user_id, self._config.pending_uploads
        if not await media.add_pending(self._db, media_id, user_id, now_ms, expires_ms, most):
            raise limit_exceeded(PENDING_RETRY_MS)
        return {"content_uri": self._uri(media_id), "unused_expires_at": expires_ms}

    @endpoint(
        "PUT",
        "/_matrix/media/v3/upload/{serverName}/{mediaId}",
        auth=Auth.USER,
        rate=Rate.MEDIA,
        streams=True,
        waits=True,
        spec="client-server-api/#put_matrixmediav3uploadservernamemediaid",
    )
    async def upload_to(self, request: Request) -> Reply:
        """Stores the body under an id that its user created: 403 `M_FORBIDDEN` for somebody else's, 404 `M_NOT_FOUND`
        for one that is unknown or expired, 409 `M_CANNOT_OVERWRITE_MEDIA` for one that has its content."""
        media_id = request.path["mediaId"]
        await self._check_pending(request)

        async def record(db: Queries, content: Content, most: int | None, accepted: int | None) -> Uploaded:
            uploaded = await media.fill_pending(db, media_id, self._now_ms(), content, most, accepted)
            if uploaded is Uploaded.REFUSED:
                await self._check_pending(request)
            return uploaded

        await self._uploading.upload(request, record)
        self._arrivals.arrived(media_id)
        return {}

    async def _check_pending(self, request: Request) -> None:
        media_id = request.path["mediaId"]
        is_here = request.path["serverName"] == self._server_name
        found = await media.find_media(self._db, media_id) if is_here else None
        if found is None:
            raise not_found("Unknown media id")
        if found.user_id != request.requester.user_id:
            raise forbidden("Somebody else created this media id")
        if found.expires_ts is None:
            raise MatrixError(409, "M_CANNOT_OVERWRITE_MEDIA", "The media have been uploaded already")
        if found.expires_ts <= self._now_ms():
            raise not_found("The media id has expired")

    @endpoint(
        "GET",
        "/_matrix/media/v3/download/{serverName}/{mediaId}",
        auth=Auth.NONE,
        rate=Rate.DOWNLOAD,
        reads=False,
        waits=True,
        aliases=(
            "/_matrix/media/r0/download/{serverName}/{mediaId}",
            "/_matrix/media/v1/download/{serverName}/{mediaId}",
            "/_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}",
            "/_matrix/media/r0/download/{serverName}/{mediaId}/{fileName}",
            "/_matrix/media/v1/download/{serverName}/{mediaId}/{fileName}",
        ),
        spec="client-server-api/#get_matrixmediav3downloadservernamemediaid",
    )
    async def download(self, request: Request) -> Reply:
        """Media that were uploaded while they could be had without a token; 404 for all others."""
        return await self._downloads.send_media(request, public_only=True)

    @endpoint(
        "GET",
        "/_matrix/media/v3/thumbnail/{serverName}/{mediaId}",
        auth=Auth.NONE,
        rate=Rate.DOWNLOAD,
        reads=False,
        waits=True,
        aliases=(
            "/_matrix/media/r0/thumbnail/{serverName}/{mediaId}",
            "/_matrix/media/v1/thumbnail/{serverName}/{mediaId}",
        ),
        spec="client-server-api/#get_matrixmediav3thumbnailservernamemediaid",
    )
    async def thumbnail(self, request: Request) -> Reply:
        """A thumbnail of such media."""
        return await self._downloads.send_thumbnail(request, public_only=True)

    @endpoint(
        "GET",
        "/_matrix/media/v3/preview_url",
        auth=Auth.USER,
        rate=Rate.PREVIEW,
        reads=False,
        waits=True,
        aliases=("/_matrix/media/r0/preview_url", "/_matrix/media/v1/preview_url"),
        spec="client-server-api/#get_matrixmediav3preview_url",
    )
    async def preview_url(self, request: Request) -> Reply:
        """What a page says of itself."""
        return await self._downloads.preview_url(request)

    @endpoint(
        "GET",
        "/_matrix/media/v3/config",
        auth=Auth.USER_OR_GUEST,
        reads=False,
        aliases=("/_matrix/media/r0/config", "/_matrix/media/v1/config"),
        spec="client-server-api/#get_matrixmediav3config",
    )
    async def config(self, request: Request) -> Reply:
        """What an upload may be."""
        return await self._downloads.config(request)

    def _new_id(self) -> str:
        return urlsafe_b64encode(self._random(MEDIA_ID_BYTES)).decode()

    def _uri(self, media_id: str) -> str:
        return f"mxc://{self._server_name}/{media_id}"
