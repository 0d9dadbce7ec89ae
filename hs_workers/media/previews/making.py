"""Makes one preview: asks the page, what the page refers to (oEmbed), and its picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.logger import Logger

from hs_common.config.media import Previews as PreviewsConfig
from hs_common.http.egress.answer import Answer
from hs_common.http.egress.client import EgressClient, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_common.matrix.errors import MatrixError
from hs_common.process.worker_threads import Threads
from hs_workers.media.blobs import StorageFailed
from hs_workers.media.disposition import essence
from hs_workers.media.keeping import ReceivedTooMuch
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.previews.oembed import ANSWER_LIMIT_BYTES, read_oembed
from hs_workers.media.previews.page import Page, read_page
from hs_workers.media.previews.pictures import Picture, Pictures
from hs_workers.media.previews.plain_text import decoded

REDIRECTS: Final = 5
SILENCE_S: Final = 8.0
PREVIEW_LIMIT_BYTES: Final = 16 * 1024
"""Of properties together: some sites put all they know there."""
ACCEPTED: Final = "text/html,application/xhtml+xml;q=0.9,image/*;q=0.8,*/*;q=0.1"
_NO_LIMIT: Final = 1 << 60  # of the answer's size: how much is read is counted here, whatever was announced
_PAGES: Final = ("text/html", "application/xhtml+xml")


class PageFailed(Exception):
    """The page cannot be had, or says nothing that can be read."""


@dataclass(frozen=True, slots=True)
class MadePreview:
    """What clients are told, and the picture that belongs to it."""

    preview: dict[str, Any]
    media_id: str | None


class Making:
    """`server_name` is this server's; `seconds` a clock that never goes back; pages are read in `threads`."""

    def __init__(
        self,
        config: PreviewsConfig,
        server_name: str,
        egress: EgressClient,
        pictures: Pictures,
        threads: Threads,
        metrics: MediaMetrics,
        seconds: Callable[[], float],
    ) -> None:
        self._config = config
        self._server_name = server_name
        self._egress = egress
        self._pictures = pictures
        self._threads = threads
        self._metrics = metrics
        self._seconds = seconds
        self._log = Logger()

    async def make(self, url: str, ends_at_s: float) -> MadePreview:
        """The preview of a URL. Raises EgressError, PageFailed, and MatrixError if too much is under way."""
        answer, found = await self._open(url, ACCEPTED, ends_at_s)
        kind = essence(answer.header("content-type") or "")
        if kind.startswith("image/"):
            return self._told({}, await self._picture_of(answer))
        if kind not in _PAGES:
            answer.close()
            return MadePreview({}, None)
        body = await _beginning(answer, self._config.page_bytes)
        content_type = answer.header("content-type") or ""
        page: Page = await self._threads.run(lambda: read_page(decoded(body, content_type), found))
        if page.oembed is not None and not (page.image and page.properties.get("og:title")):
            page = _joined(page, await self._oembed(page.oembed, ends_at_s))
        picture = None if page.image is None else await self._picture(page.image, ends_at_s)
        return self._told(page.properties, picture)

    async def _open(self, url: str, accept: str, ends_at_s: float) -> tuple[Answer, str]:
        left_s = ends_at_s - self._seconds()
        if left_s <= 0:
            raise PageFailed("no time is left")
        headers = {"Accept": accept, "Accept-Language": self._config.language}
        limits = Limits(left_s, SILENCE_S, _NO_LIMIT, REDIRECTS)
        answer, found = await self._egress.open(Purpose.PREVIEW, "GET", url, headers, limits=limits)
        encoding = answer.header("content-encoding")
        if answer.status != 200 or (encoding or "identity").lower() != "identity":
            answer.close()
            raise PageFailed(f"{url} answers {answer.status} in encoding {encoding}")
        return answer, found

    async def _oembed(self, url: str, ends_at_s: float) -> Page | None:
        try:
            answer, found = await self._open(url, "application/json", ends_at_s)
            return read_oembed(await _beginning(answer, ANSWER_LIMIT_BYTES), found)
        except (EgressError, PageFailed) as error:
            self._log.debug("The oEmbed of a preview failed: {error}", error=error)
            return None

    async def _picture(self, url: str, ends_at_s: float) -> Picture | None:
        try:
            answer, _ = await self._open(url, "image/*", ends_at_s)
        except (EgressError, PageFailed) as error:
            self._log.debug("The picture of a preview failed: {error}", error=error)
            self._metrics.preview("without picture")
            return None
        return await self._picture_of(answer)

    async def _picture_of(self, answer: Answer) -> Picture | None:
        picture = None
        try:
            picture = await self._pictures.keep(answer)
        except (EgressError, ReceivedTooMuch, StorageFailed, MatrixError) as error:
            self._log.debug("The picture of a preview failed: {error}", error=error)
        if picture is None:
            self._metrics.preview("without picture")
        return picture

    def _told(self, properties: dict[str, str], picture: Picture | None) -> MadePreview:
        preview: dict[str, Any] = {}
        size = 0
        for name, value in properties.items():
            size += len(name) + len(value.encode())
            if size <= PREVIEW_LIMIT_BYTES:
                preview[name] = value
        if picture is None:
            return MadePreview(preview, None)
        preview["og:image"] = f"mxc://{self._server_name}/{picture.media_id}"
        preview["og:image:type"] = picture.content_type
        preview["og:image:width"] = picture.width
        preview["og:image:height"] = picture.height
        preview["matrix:image:size"] = picture.size
        return MadePreview(preview, picture.media_id)


async def _beginning(answer: Answer, limit_bytes: int) -> bytes:
    """The first bytes of an answer, which is closed then. Raises EgressError."""
    pieces, size = [], 0
    try:
        while size < limit_bytes and (piece := await answer.read()):
            pieces.append(piece)
            size += len(piece)
    finally:
        answer.close()
    return b"".join(pieces)[:limit_bytes]


def _joined(page: Page, embedded: Page | None) -> Page:
    """The page's own words go first."""
    if embedded is None:
        return page
    return Page({**embedded.properties, **page.properties}, page.image or embedded.image)
