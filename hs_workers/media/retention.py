"""Forgets what has been kept long enough: previews, media of other servers, uploads where an operator wants that.

Only rows go here; their bytes are then nobody's, and the sweeper takes them.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from hs_common.config.media import Media as MediaConfig
from hs_common.storage import media_lifetimes, remote_media, url_previews
from hs_common.storage.queries import Queries
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.profile_media import profile_media

BATCH: Final = 500
PICTURE_GRACE_MS: Final = 86_400_000
"""Clients show a preview's picture for as long as they have it open."""
UNCOUNTED: Final = -1  # any size is larger


class Retention:
    """`server_name` is this server's, `now_ms` the time of day."""

    def __init__(
        self, server_name: str, config: MediaConfig, db: Queries, now_ms: Callable[[], int], metrics: MediaMetrics
    ) -> None:
        self._server_name = server_name
        self._config = config
        self._db = db
        self._now_ms = now_ms
        self._metrics = metrics

    async def forget(self) -> None:
        """All that is due."""
        now_ms = self._now_ms()
        previews = await url_previews.delete_expired_previews(self._db, now_ms)
        previews += await url_previews.delete_superfluous_previews(self._db, self._config.previews.cache_entries)
        self._metrics.swept("preview", previews)
        await url_previews.delete_pictures_without_preview(self._db, now_ms - PICTURE_GRACE_MS)
        if self._config.lifetime_ms:
            self._metrics.swept("local", await self._forget_local(now_ms - self._config.lifetime_ms))
        if self._config.remote_lifetime_ms:
            self._metrics.swept("remote", await self._forget_remote(now_ms - self._config.remote_lifetime_ms))
        await self._shrink_remote()

    async def _shrink_remote(self) -> None:
        most = self._config.remote_cache_bytes
        if not most or await remote_media.remote_bytes(self._db) <= most:
            return
        unused_since_ms = await remote_media.moment_that_keeps(self._db, most)
        if unused_since_ms is not None:
            self._metrics.swept("remote", await self._forget_remote(unused_since_ms + 1))

    async def _forget_local(self, before_ms: int) -> int:
        kept = await profile_media(self._db, self._server_name)
        return len(await delete_unused_since(self._db, before_ms, UNCOUNTED, kept))

    async def _forget_remote(self, before_ms: int) -> int:
        forgotten = 0
        while found := await remote_media.delete_remote_unused_since(self._db, before_ms, BATCH):
            forgotten += len(found)
        return forgotten


async def delete_unused_since(
    db: Queries, before_ms: int, larger_than: int, kept: AbstractSet[str]
) -> list[media_lifetimes.Deleted]:
    """Forgets uploads that nobody was sent since, but for some."""
    deleted: list[media_lifetimes.Deleted] = []
    passed = 0
    while True:
        found = await media_lifetimes.find_unused_since(db, before_ms, larger_than, BATCH + passed)
        wanted = [media_id for media_id in found if media_id not in kept]
        if not wanted:
            return deleted
        passed = len(found) - len(wanted)
        deleted += await media_lifetimes.delete_media(db, wanted)
