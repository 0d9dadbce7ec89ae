"""Puts the role's parts together, for a worker and for tests alike: where bytes are kept, what makes thumbnails and
previews, the endpoints, what is started and stopped."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hs_common.config.media import Media as MediaConfig
from hs_common.federation.client import FederationClient
from hs_common.http.egress.client import EgressClient
from hs_common.process.background import Background
from hs_common.process.worker_threads import WorkerThreads
from hs_common.storage.database import Database
from hs_workers.media.accesses import Accesses
from hs_workers.media.administration.admin_media import AdminMedia
from hs_workers.media.administration.administration import Administration
from hs_workers.media.administration.operator_media import OperatorMedia
from hs_workers.media.arrivals import Arrivals
from hs_workers.media.authed_content_repo import AuthedContentRepo
from hs_workers.media.blobs import BlobStore
from hs_workers.media.content_repo import ContentRepo
from hs_workers.media.content_repository import ContentRepository
from hs_workers.media.deleting import Deleting
from hs_workers.media.disk import Disk
from hs_workers.media.downloading import Downloading
from hs_workers.media.keeping import Keeping
from hs_workers.media.local_blobs import LocalBlobs
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.moving import Mover
from hs_workers.media.previews.making import Making
from hs_workers.media.previews.pictures import Pictures
from hs_workers.media.previews.previewing import Previewing
from hs_workers.media.remote.fetching import Fetching
from hs_workers.media.remote.remote_media import RemoteMediaFinder
from hs_workers.media.retention import Retention
from hs_workers.media.s3.requests import Bucket
from hs_workers.media.s3.wiring import object_store
from hs_workers.media.stored_bytes import StoredBytes
from hs_workers.media.sweeping import Sweeper
from hs_workers.media.thumbnail_processes import TIME_LIMIT_S, ThumbnailProcesses
from hs_workers.media.thumbnails import Thumbnails
from hs_workers.media.two_places import TwoPlaces
from hs_workers.media.uploading import Uploading

DISK_THREADS: Final = 8
"""So many files can wait for the disk at once."""
DISK_QUEUE_LIMIT: Final = 20_000
"""More than connections are accepted: an upload that has come half its way is not told to come back."""
PAGE_THREADS: Final = 1
"""Reading a page takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the role uses. `now_ms` is the time of day, `random(n)` gives n unpredictable bytes; `wrap` puts something
    before the store, in tests."""

    server_name: str
    reactor: Any
    db: Database
    background: Background
    metrics: MediaMetrics
    egress: EgressClient
    federation: FederationClient
    now_ms: Callable[[], int]
    random: Callable[[int], bytes]
    shared_secret: str
    shown_before_login: frozenset[tuple[str, str]] = frozenset()
    """Media that who has no token may have, frozen or not: server names and media ids."""
    wrap: Callable[[BlobStore], BlobStore] = lambda store: store
    thumbnail_time_limit_s: float = TIME_LIMIT_S


class MediaParts:
    """The role's parts."""

    def __init__(self, config: MediaConfig, outside: Outside) -> None:
        self._config = config
        self._outside = outside
        metrics, now_ms = outside.metrics, outside.now_ms
        self._disk_threads = WorkerThreads(outside.reactor, DISK_THREADS, "media disk", DISK_QUEUE_LIMIT)
        self._page_threads = WorkerThreads(outside.reactor, PAGE_THREADS, "pages")
        self._thumbnail_threads = WorkerThreads(outside.reactor, config.thumbnail_processes, "thumbnails")
        self._bucket: Bucket | None = None
        store = self._make_store(Disk(self._disk_threads, metrics.storage_failed))
        self.store = outside.wrap(store)
        self.processes = ThumbnailProcesses(
            self._thumbnail_threads, config.thumbnail_pixels, outside.thumbnail_time_limit_s
        )
        retention = Retention(outside.server_name, config, outside.db, now_ms, metrics)
        deleting = Deleting(outside.db, self.store, now_ms)
        self.sweeper = Sweeper(outside.db, self.store, deleting, outside.reactor, now_ms, metrics, retention.forget)
        self._keeping = Keeping(outside.db, self.store, deleting, outside.background, outside.reactor, now_ms)
        self.arrivals = Arrivals(outside.db, outside.reactor, now_ms)
        self.thumbnails = self._make_thumbnails()
        self.previewing = self._make_previewing()
        self.accesses = Accesses(outside.db, outside.reactor, now_ms)
        self.remote = self._make_remote()
        downloading = Downloading(
            server_name=outside.server_name,
            store=self.store,
            arrivals=self.arrivals,
            remote=self.remote,
            accesses=self.accesses,
            metrics=metrics,
            serves_public=config.unauthenticated_access,
            shown_before_login=outside.shown_before_login,
        )
        downloads = AuthedContentRepo(config, downloading, self.thumbnails, self.previewing)
        self.stored_bytes = StoredBytes(outside.db, outside.reactor, bool(config.total_bytes))
        uploading = Uploading(config, outside.db, self._keeping, metrics, self.stored_bytes)
        uploads = ContentRepo(
            outside.server_name, config, outside.db, uploading, self.arrivals, downloads, now_ms, outside.random
        )
        for_servers = ContentRepository(downloading, downloads, self.store, metrics, outside.random)
        operations = Administration(outside.server_name, outside.db, self.sweeper, outside.background, now_ms)
        for_admins = AdminMedia(outside.server_name, outside.db, operations)
        mover = Mover(store, outside.db, deleting, outside.background, outside.reactor.seconds)
        for_operators = OperatorMedia(outside.db, operations, mover, outside.shared_secret, now_ms)
        self.endpoints: Iterable[object] = (downloads, uploads, for_servers, for_admins, for_operators)

    def _make_store(self, disk: Disk) -> BlobStore:
        outside, config = self._outside, self._config
        folder = LocalBlobs(Path(config.folder), disk, outside.random, lambda: outside.now_ms() / 1000)
        if not config.s3.endpoint:
            return folder
        bucket, self._bucket = object_store(config.s3, outside.reactor, disk, outside.now_ms, outside.metrics)
        if config.moving_from:
            return TwoPlaces(bucket, folder) if config.moving_from == "folder" else TwoPlaces(folder, bucket)
        return bucket

    def _make_thumbnails(self) -> Thumbnails:
        outside = self._outside
        return Thumbnails(
            db=outside.db,
            store=self.store,
            keeping=self._keeping,
            processes=self.processes,
            background=outside.background,
            metrics=outside.metrics,
            now_ms=outside.now_ms,
            seconds=outside.reactor.seconds,
            maximum_pixels=self._config.thumbnail_pixels,
            at_once=self._config.thumbnail_processes,
        )

    def _make_remote(self) -> RemoteMediaFinder:
        outside, config = self._outside, self._config
        fetching = Fetching(config, outside.db, outside.federation, outside.egress, self._keeping, outside.now_ms)
        return RemoteMediaFinder(
            db=outside.db,
            fetching=fetching,
            background=outside.background,
            metrics=outside.metrics,
            clock=outside.reactor,
            now_ms=outside.now_ms,
            timeout_ms=config.remote_timeout_ms,
        )

    def _make_previewing(self) -> Previewing:
        outside, config = self._outside, self._config.previews
        pictures = Pictures(
            keeping=self._keeping,
            processes=self.processes,
            now_ms=outside.now_ms,
            random=outside.random,
            limit_bytes=config.image_bytes,
            maximum_pixels=self._config.thumbnail_pixels,
            is_public=self._config.unauthenticated_access,
        )
        making = Making(
            config=config,
            server_name=outside.server_name,
            egress=outside.egress,
            pictures=pictures,
            threads=self._page_threads,
            metrics=outside.metrics,
            seconds=outside.reactor.seconds,
        )
        return Previewing(
            config, outside.db, making, outside.background, outside.metrics, outside.now_ms, outside.reactor
        )

    async def close(self) -> None:
        """Ends processes, threads and connections."""
        await self.processes.close()
        if self._bucket is not None:
            await self._bucket.close()
        for threads in (self._disk_threads, self._thumbnail_threads, self._page_threads):
            threads.close()
