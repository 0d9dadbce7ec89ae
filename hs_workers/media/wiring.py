"""Puts the role together: where bytes are kept, what makes thumbnails, the endpoints, what is started and stopped."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hs_common.process.node import Node
from hs_common.process.worker_threads import WorkerThreads
from hs_workers.media.arrivals import Arrivals
from hs_workers.media.authed_content_repo import AuthedContentRepo
from hs_workers.media.blobs import BlobStore
from hs_workers.media.content_repo import ContentRepo
from hs_workers.media.disk import Disk
from hs_workers.media.downloading import Downloading
from hs_workers.media.local_blobs import LocalBlobs
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.s3.requests import Bucket
from hs_workers.media.s3.wiring import object_store
from hs_workers.media.sweeping import Sweeper
from hs_workers.media.thumbnail_processes import ThumbnailProcesses
from hs_workers.media.thumbnails import Thumbnails
from hs_workers.media.uploading import Uploading

ENDPOINT_CLASSES: tuple[type, ...] = (AuthedContentRepo, ContentRepo)
"""What processes of other roles declare to their routers."""

DISK_THREADS: Final = 8
"""So many files can wait for the disk at once."""
DISK_QUEUE_LIMIT: Final = 20_000
"""More than connections are accepted: an upload that has come half its way is not told to come back."""


class MediaParts:
    """The role's parts on a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        config, outside = node.config.media, node.outside
        self._disk_threads = WorkerThreads(node.reactor, DISK_THREADS, "media disk", DISK_QUEUE_LIMIT)
        self._thumbnail_threads = WorkerThreads(node.reactor, config.thumbnail_processes, "thumbnails")
        metrics = MediaMetrics(node.metrics.registry)
        disk = Disk(self._disk_threads, metrics.storage_failed)
        self._bucket: Bucket | None = None
        self._store: BlobStore
        if config.s3.endpoint:
            self._store, self._bucket = object_store(
                config.s3, node.reactor, disk, outside.now_ms, metrics.storage_failed
            )
        else:
            self._store = LocalBlobs(Path(config.folder), disk, outside.random_bytes, lambda: outside.now_ms() / 1000)
        self._processes = ThumbnailProcesses(self._thumbnail_threads, config.thumbnail_pixels)
        self._sweeper = Sweeper(node.db, self._store, node.reactor, outside.now_ms, metrics)
        arrivals = Arrivals(node.db, node.reactor, outside.now_ms)
        thumbnails = Thumbnails(
            db=node.db,
            store=self._store,
            processes=self._processes,
            background=node.background,
            metrics=metrics,
            now_ms=outside.now_ms,
            seconds=node.reactor.seconds,
            maximum_pixels=config.thumbnail_pixels,
            at_once=config.thumbnail_processes,
        )
        name = node.config.server.name
        downloads = AuthedContentRepo(config, Downloading(name, self._store, arrivals, metrics), thumbnails)
        uploading = Uploading(config, node.db, self._store, node.background, outside.now_ms, metrics)
        uploads = ContentRepo(
            name, config, node.db, uploading, arrivals, downloads, outside.now_ms, outside.random_bytes
        )
        self.endpoints: Iterable[object] = (downloads, uploads)
        node.metrics.watch_queue("thumbnails", thumbnails.waiting)
        node.metrics.watch_queue("waiting downloads", lambda: len(arrivals))

    def add_steps(self) -> None:
        """Before the process listens."""
        service = self._node.service
        service.step("media threads", _nothing, self._close)
        service.step("media storage", self._store.start)
        service.step("sweeping media", self._sweeper.start, self._sweeper.stop)

    async def _close(self) -> None:
        await self._processes.close()
        if self._bucket is not None:
            await self._bucket.close()
        self._disk_threads.close()
        self._thumbnail_threads.close()


async def _nothing() -> None:
    return None
