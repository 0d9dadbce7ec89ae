"""Previews: found among those that were made, or made once however many ask at the same time, and kept for a while.

Rules: everything is asked through the egress client, which judges each address that it connects to, redirects included.
All requests of a preview share one limit of time; of a page and a picture only so many bytes are taken. Whatever goes
wrong, users are told the same: not why, which would tell them of networks that are none of their business. They are
told 404: the specification says nothing, a page that is gone is no failure of this server, proxies replace 502 by pages
of their own, without CORS, and clients log all but 404 as errors.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.logger import Logger

from hs_common.config.media import Previews as PreviewsConfig
from hs_common.http.egress.client import parse_url
from hs_common.http.egress.failures import BadUrl, EgressError, NotAllowed
from hs_common.matrix.errors import MatrixError, invalid_param, limit_exceeded, not_found, unrecognized
from hs_common.process.background import Background
from hs_common.storage import url_previews
from hs_common.storage.queries import Queries
from hs_common.storage.url_previews import StoredPreview
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.previews.making import MadePreview, Making, PageFailed

AT_ONCE: Final = 16
"""Being made by a worker; most of the time they wait for somebody else's server."""
WAITING_LIMIT: Final = 200
RETRY_AFTER_MS: Final = 5_000
FAILED_LIFETIME_MS: Final = 600_000
"""A page that could not be had is not asked for again within ten minutes."""


class Previewing:
    """`now_ms` is the time of day, `clock` the reactor."""

    def __init__(
        self,
        config: PreviewsConfig,
        db: Queries,
        making: Making,
        background: Background,
        metrics: MediaMetrics,
        now_ms: Callable[[], int],
        clock: Any,
    ) -> None:
        self._config = config
        self._db = db
        self._making = making
        self._background = background
        self._metrics = metrics
        self._now_ms = now_ms
        self._clock = clock
        self._slots = DeferredSemaphore(AT_ONCE)
        self._waiting: dict[str, list[Deferred[str]]] = {}
        self._log = Logger()

    def waiting(self) -> int:
        """How many are being made or wait for it."""
        return len(self._waiting)

    async def find(self, url: str) -> bytes:
        """The preview, as JSON. 404 where the operator wants none; 400 `M_INVALID_PARAM` for what is no URL of the web;
        404 `M_NOT_FOUND` for a page that cannot be had; 429 if too many wait for theirs."""
        if not self._config.enabled:
            raise unrecognized("This server makes no previews of URLs")
        url = url.partition("#")[0]
        try:
            parse_url(url)
        except BadUrl as error:
            raise invalid_param(f"url: {error}") from error
        preview = await self._stored(url)
        if preview is None:
            preview = await self._made(url)
        else:
            self._metrics.preview("found")
        if preview == "null":
            raise not_found("The page could not be fetched; show the link without a preview")
        return preview.encode()

    async def _stored(self, url: str) -> str | None:
        stored = await url_previews.find_preview(self._db, _hash(url))
        return stored.preview if stored is not None and stored.expires_ts > self._now_ms() else None

    def _made(self, url: str) -> "Deferred[str]":
        is_new = url not in self._waiting
        if is_new and len(self._waiting) >= WAITING_LIMIT:
            raise limit_exceeded(RETRY_AFTER_MS)
        waiting = self._waiting.setdefault(url, [])
        made: Deferred[str] = Deferred(waiting.remove)
        waiting.append(made)
        if is_new:
            # Not as part of this request: the client may go, and others wait for the same.
            self._background("preview", self._make_for_all(url))
        return made

    async def _make_for_all(self, url: str) -> None:
        preview = "null"
        try:
            # Whoever looked for it while it was being stored does not have it made again.
            stored = await self._stored(url)
            if stored is not None:
                preview = stored
                return
            made = await self._slots.run(lambda: Deferred.fromCoroutine(self._make(url)))
            preview = json.dumps(made.preview) if made is not None else "null"
            await self._remember(url, preview, None if made is None else made.media_id)
        finally:
            waiting = self._waiting.pop(url)
            while waiting:  # who wakes may call off others
                waiting.pop().callback(preview)

    async def _make(self, url: str) -> MadePreview | None:
        """None if the page cannot be had."""
        timeout_s = self._config.timeout_ms / 1000
        work: Deferred[MadePreview] = Deferred.fromCoroutine(self._making.make(url, self._clock.seconds() + timeout_s))
        try:
            made = await work.addTimeout(timeout_s, self._clock, _timed_out)
        except NotAllowed as error:
            self._metrics.preview("refused")
            self._log.info("A preview was refused: {error}", error=error)
            return None
        except (EgressError, PageFailed, MatrixError) as error:
            self._metrics.preview("failed")
            self._log.debug("A preview failed: {error}", error=error)
            return None
        self._metrics.preview("made" if made.preview else "empty")
        return made

    async def _remember(self, url: str, preview: str, media_id: str | None) -> None:
        now_ms = self._now_ms()
        lifetime_ms = FAILED_LIFETIME_MS if preview == "null" else self._config.lifetime_ms
        stored = StoredPreview(preview, now_ms + lifetime_ms)
        await url_previews.put_preview(self._db, _hash(url), url, now_ms, stored, media_id)


def _hash(url: str) -> bytes:
    return sha256(url.encode("utf-8", "surrogatepass")).digest()


def _timed_out(failure: Any, timeout: float) -> Any:
    if failure.check(CancelledError):
        raise PageFailed(f"it took more than {timeout:g} s")
    return failure
