"""What the role tells Prometheus beside what is told of every request."""

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

Outcome = Literal["made", "found", "original", "refused", "failed"]
RemoteOutcome = Literal["found", "waited", "fetched", "missing", "failed"]
Swept = Literal["unfinished", "unused", "stray", "expired", "preview", "local", "remote"]
PreviewOutcome = Literal["found", "made", "empty", "without picture", "refused", "failed"]
STORE_BUCKETS_S: Final = (0.01, 0.05, 0.2, 1.0, 5.0, 30.0)
THUMBNAIL_BUCKETS_S: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class MediaMetrics:
    """The role's metrics in the process' registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stored = Counter("viaduct_media_stored_bytes", "Bytes of finished uploads", registry=registry)
        self._sent = Counter("viaduct_media_sent_bytes", "Bytes of media and thumbnails sent", registry=registry)
        self._redirected = Counter(
            "viaduct_media_redirected", "Downloads sent to the object store itself", registry=registry
        )
        self._storage_errors = Counter(
            "viaduct_media_storage_errors", "Times that the storage of media failed", registry=registry
        )
        self._store_seconds = Histogram(
            "viaduct_media_store_seconds",
            "Time until the object store answered, or did not",
            ("operation",),
            buckets=STORE_BUCKETS_S,
            registry=registry,
        )
        self._thumbnails = Counter(
            "viaduct_media_thumbnails", "Thumbnails asked for, by what became of it", ("outcome",), registry=registry
        )
        self._thumbnail_seconds = Histogram(
            "viaduct_media_thumbnail_seconds",
            "Time to make a thumbnail",
            buckets=THUMBNAIL_BUCKETS_S,
            registry=registry,
        )
        self._remote = Counter(
            "viaduct_media_remote", "Media of other servers, by what became of them", ("outcome",), registry=registry
        )
        self._fetched = Counter("viaduct_media_fetched_bytes", "Bytes kept of other servers' media", registry=registry)
        self._previews = Counter(
            "viaduct_media_previews", "Previews of URLs, by what became of it", ("outcome",), registry=registry
        )
        self._swept = Counter("viaduct_media_swept", "What sweepers deleted, by kind", ("what",), registry=registry)

    def stored(self, size: int) -> None:
        """An upload of so many bytes is durable."""
        self._stored.inc(size)

    def sent(self, size: int) -> None:
        """So many bytes of a medium were handed to the connection."""
        self._sent.inc(size)

    def redirected(self) -> None:
        """A client was sent to the store itself."""
        self._redirected.inc()

    def storage_failed(self) -> None:
        """The disk, or whatever holds the bytes, failed once."""
        self._storage_errors.inc()

    def store_asked(self, operation: str, seconds: float) -> None:
        """The object store took that long to answer."""
        self._store_seconds.labels(operation).observe(seconds)

    def thumbnail(self, outcome: Outcome) -> None:
        """A thumbnail was asked for, and that became of it."""
        self._thumbnails.labels(outcome).inc()

    def made(self, seconds: float) -> None:
        """Making one took that long."""
        self._thumbnail_seconds.observe(seconds)

    def remote(self, outcome: RemoteOutcome) -> None:
        """A medium of another server was asked for, or fetched, and that became of it."""
        self._remote.labels(outcome).inc()

    def fetched(self, size: int) -> None:
        """A medium of another server of so many bytes is durable here."""
        self._fetched.inc(size)

    def preview(self, outcome: PreviewOutcome) -> None:
        """A preview was asked for, and that became of it."""
        self._previews.labels(outcome).inc()

    def swept(self, what: Swept, count: int) -> None:
        """A sweeper deleted so many."""
        self._swept.labels(what).inc(count)
