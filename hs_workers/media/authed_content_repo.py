"""Downloads, thumbnails and previews for who has an access token.

https://spec.matrix.org/v1.19/client-server-api/#content-repository
"""

from typing import Final

from hs_common.config.media import Media as MediaConfig
from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, invalid_param, unknown
from hs_common.storage.media import StoredThumbnail, ThumbnailKey
from hs_workers.media.disposition import UNKNOWN_TYPE, essence
from hs_workers.media.downloading import Described, Downloading
from hs_workers.media.previews.previewing import Previewing
from hs_workers.media.thumbnail_sizes import rounded
from hs_workers.media.thumbnails import Thumbnails

LARGEST_SIZE: Final = 100_000
"""Of a thumbnail as it is asked for: a larger number is a mistake, and is taken for this one."""
_MAYBE_ANIMATED: Final = frozenset(("image/gif", "image/webp", "image/png", "image/apng"))
_PICTURES: Final = _MAYBE_ANIMATED | {"image/jpeg", "image/jpg", UNKNOWN_TYPE}


class AuthedContentRepo:
    """Says what is asked for; the rest is in `downloading` and `thumbnails`."""

    def __init__(
        self, config: MediaConfig, downloading: Downloading, thumbnails: Thumbnails, previewing: Previewing
    ) -> None:
        self._config = config
        self._downloading = downloading
        self._thumbnails = thumbnails
        self._previewing = previewing

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/download/{serverName}/{mediaId}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.DOWNLOAD,
        reads=False,
        waits=True,
        aliases=(
            "/_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}",
            "/_matrix/client/unstable/org.matrix.msc3916/media/download/{serverName}/{mediaId}",
            "/_matrix/client/unstable/org.matrix.msc3916/media/download/{serverName}/{mediaId}/{fileName}",
        ),
        spec="client-server-api/#get_matrixclientv1mediadownloadservernamemediaid",
    )
    async def download(self, request: Request) -> Reply:
        """The file, under the name that the path gives it, or else its uploader gave it."""
        return await self.send_media(request, public_only=False)

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.DOWNLOAD,
        reads=False,
        waits=True,
        aliases=("/_matrix/client/unstable/org.matrix.msc3916/media/thumbnail/{serverName}/{mediaId}",),
        spec="client-server-api/#get_matrixclientv1mediathumbnailservernamemediaid",
    )
    async def thumbnail(self, request: Request) -> Reply:
        """A picture no smaller than asked for, if it was no smaller to begin with."""
        return await self.send_thumbnail(request, public_only=False)

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/preview_url",
        auth=Auth.USER,
        rate=Rate.PREVIEW,
        reads=False,
        waits=True,
        aliases=("/_matrix/client/unstable/org.matrix.msc3916/media/preview_url",),
        spec="client-server-api/#get_matrixclientv1mediapreview_url",
    )
    async def preview_url(self, request: Request) -> Reply:
        """What a page says of itself. `ts` is a preference, and a newer preview may be answered: it always is."""
        request.query.integer("ts", None)
        return Encoded(await self._previewing.find(request.query.string("url")))

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/config",
        auth=Auth.USER_OR_GUEST,
        reads=False,
        aliases=("/_matrix/client/unstable/org.matrix.msc3916/media/config",),
        spec="client-server-api/#get_matrixclientv1mediaconfig",
    )
    async def config(self, request: Request) -> Reply:
        """What an upload may be."""
        return {"m.upload.size": self._config.upload_bytes}

    async def send_media(self, request: Request, *, public_only: bool) -> Reply:
        """What `download` and its deprecated form answer."""
        found = await self._downloading.find(request, public_only=public_only)
        file_name = request.path.get("fileName") or found.file_name
        described = Described(found.sha256, found.content_type, file_name, public_only)
        return await self._downloading.send(request, described, may_redirect=_may_redirect(request, public_only))

    async def send_thumbnail(self, request: Request, *, public_only: bool) -> Reply:
        """What `thumbnail` and its deprecated form answer."""
        described = await self.described_thumbnail(request, public_only=public_only)
        return await self._downloading.send(request, described, may_redirect=_may_redirect(request, public_only))

    async def described_thumbnail(self, request: Request, *, public_only: bool) -> Described:
        """The thumbnail that a request wants, made if need be."""
        width = request.query.integer("width", minimum=1, maximum=LARGEST_SIZE)
        height = request.query.integer("height", minimum=1, maximum=LARGEST_SIZE)
        method = request.query.string("method", "scale")
        animated = request.query.boolean("animated", False)
        if method not in ("crop", "scale"):
            raise invalid_param("method must be crop or scale")
        found = await self._downloading.find(request, public_only=public_only)
        kind = essence(found.content_type)
        if kind not in _PICTURES:
            raise unknown(f"There are no thumbnails of {kind}", status=400)
        animated = animated and kind in _MAYBE_ANIMATED
        key = ThumbnailKey(found.sha256, method, *rounded(method, width, height), animated)
        made = await self._thumbnail(key, is_remote=found.is_remote)
        name = f"thumbnail.{made.content_type.partition('/')[2]}"
        return Described(made.sha256, made.content_type, name, public_only)

    async def _thumbnail(self, key: ThumbnailKey, *, is_remote: bool) -> StoredThumbnail:
        try:
            return await self._thumbnails.find(key)
        except MatrixError as error:
            if is_remote and error.status == 413:  # the request is not to blame for what another server has
                raise MatrixError(502, error.errcode, error.error) from error
            raise


def _may_redirect(request: Request, public_only: bool) -> bool:
    """The deprecated endpoints redirect only those who say that they follow; the others may always."""
    return not public_only or request.query.boolean("allow_redirect", False)
