"""One content in one place, and what workers do with it: each as a process of `interleaving`, with the role's own code
down to its statements and files. What must be true of it at any time is said in `Place.look` and `Place.end`."""

import hashlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from prometheus_client import CollectorRegistry
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from hs_common.process.worker_threads import WorkerThreads
from hs_common.storage import media, media_administration, media_lifetimes, remote_media
from hs_common.storage.database import Database
from hs_common.storage.media import Content, ThumbnailKey, Uploaded
from hs_common.storage.queries import DatabaseUnavailable, Queries, StatementConflict, StatementRefused
from hs_workers.media.blobs import BlobStore, Digest, StorageFailed
from hs_workers.media.deleting import Deleting
from hs_workers.media.disk import Disk
from hs_workers.media.keeping import CLAIM_PAUSE_S, Keeping
from hs_workers.media.local_blobs import LocalBlobs
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.moving import Mover, Step
from hs_workers.media.s3.blobs import S3Blobs
from hs_workers.media.sweeping import Sweeper
from hs_workers.media.two_places import TwoPlaces
from tests.reactor import reactor, sleep
from tests.workers.media.interleaving import Process, StepwiseStore

HOURS_MS: Final = 3 * 3_600_000
GRACE_S: Final = 3600.0
PENDING: Final = "created"
REMOTE: Final = ("far.example", "remote")
SETTLED_TRIES: Final = 3_000
_numbers = itertools.count(1)
# How a request ends that is told to come back, and one whose process died.
EXPECTED: Final = (StorageFailed, StatementConflict, DatabaseUnavailable, CancelledError)


class Refused(Exception):
    """An upload that its user has no room for, or whose id is filled."""


class MemoryBucket:
    """An object store as far as contents need one."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}

    async def put(self, key: str, spool: Any, sha256: bytes) -> None:
        data = await spool.read(0, 1 << 20)
        assert hashlib.sha256(data).digest() == sha256
        self.objects[key] = (data, time.time())

    async def get(self, key: str, offset: int = 0) -> Any:
        found = self.objects.get(key)
        if found is None:
            return None
        pieces = [found[0][offset:]]

        async def read(size: int) -> bytes:
            return pieces.pop() if pieces else b""

        return SimpleNamespace(size=len(found[0]), status=200, body=SimpleNamespace(read=read, close=lambda: None))

    async def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    async def list(self, parameters: dict[str, str]) -> bytes:
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(at))}"
            "</LastModified></Contents>"
            for key, (_, at) in self.objects.items()
            if key.startswith(parameters["prefix"])
        )
        return f"<ListBucketResult>{entries}</ListBucketResult>".encode()


class Place:
    """Where bytes are, and all that is the same for all processes. `kind` is "folder", "object store", or "moving" from
    the first to the second."""

    def __init__(self, url: str, folder: Path, kind: str) -> None:
        self.url = url
        self.kind = kind
        self.db = Database(url, reactor, lambda: 0.5)
        self.now_ms = round(time.time() * 1000)
        self._threads = WorkerThreads(reactor, 4, "disk", 1000)
        disk = Disk(self._threads, lambda: None)
        self._bucket = MemoryBucket()
        bucket: Any = self._bucket
        self._folder = folder
        self.local = LocalBlobs(folder, disk, os.urandom, lambda: self.now_ms / 1000)
        self.remote = S3Blobs(bucket, "", disk, folder, lambda: self.now_ms, None)
        stores: dict[str, BlobStore] = {
            "folder": self.local,
            "object store": self.remote,
            "moving": TwoPlaces(self.remote, self.local),
        }
        self.store = stores[kind]
        self.data = self.sha256 = self.source = b""
        self.acknowledged: set[str] = set()
        self.forgotten: set[str] = set()
        self.is_quarantined = False

    async def begin(self) -> None:
        """A content that nobody has had before, and another one that has thumbnails."""
        self.data = os.urandom(40)
        self.sha256, self.source = (hashlib.sha256(data).digest() for data in (self.data, self.data + b"source"))
        self.acknowledged.clear()
        self.forgotten.clear()
        self.is_quarantined = False
        await self.db.execute(
            """
            DELETE FROM media; DELETE FROM remote_media; DELETE FROM media_thumbnails; DELETE FROM media_usage;
            DELETE FROM media_quarantined; UPDATE media_blobs SET touched_ts = NULL; DELETE FROM media_blobs
            """
        )
        await self.db.execute("INSERT INTO media_blobs (sha256, size) VALUES (%s, 1)", (self.source,))
        content = Content(self.source, 1, "image/png", None, is_public=False)
        await media.add_media(self.db, "source", "", 1, content)
        await media.add_pending(self.db, PENDING, "@a:b", 1, self.now_ms + 1000 * HOURS_MS, 1)

    def bytes_there(self) -> list[bytes]:
        """What lies under the content's digest, wherever it may be."""
        name = self.sha256.hex()
        found = self._bucket.objects.get(f"blobs/{name[:2]}/{name}")
        path = self._folder / "blobs" / name[:2] / name
        return [*([found[0]] if found else []), *([path.read_bytes()] if path.exists() else [])]

    async def look(self) -> None:
        """At any moment: no media without their bytes, and each user's usage is what his media take."""
        row = await self.db.fetch_one(
            """
            SELECT (SELECT count(*) FROM media WHERE sha256 = %(content)s)
                 + (SELECT count(*) FROM remote_media WHERE sha256 = %(content)s)
                 + (SELECT count(*) FROM media_thumbnails WHERE sha256 = %(content)s),
                   (SELECT count(*) FROM media_usage used,
                           LATERAL (SELECT coalesce(sum(size), 0) AS bytes, count(*) AS count FROM media
                                     WHERE user_id = used.user_id AND sha256 IS NOT NULL) right_one
                     WHERE (used.bytes, used.count) IS DISTINCT FROM (right_one.bytes, right_one.count))
            """,
            {"content": self.sha256},
        )
        assert row is not None
        there = self.bytes_there()
        assert all(data == self.data for data in there), "the bytes are others"
        assert there or not row[0], "the bytes are lost"
        assert not row[1], "what users have is miscounted"
        self.is_used = bool(row[0])

    is_used = False

    async def end(self) -> None:
        """When all that was done with it has ended: what was acknowledged is there unless it was deleted, what was
        quarantined is so for all, nothing is left of nobody's once a sweep has run, and nothing stands in the way of an
        upload."""
        await self._settled()
        await self.look()
        rows = await self.db.fetch("SELECT media_id FROM media WHERE sha256 = %s", (self.sha256,))
        ids = {row[0] for row in rows}
        assert self.acknowledged - self.forgotten <= ids, "an upload is lost"
        for media_id in ids if self.is_quarantined else ():
            found = await media.find_media(self.db, media_id)
            assert found is not None
            assert found.is_quarantined, "what is quarantined is sent"
        await self._sweep()
        assert bool(self.bytes_there()) == self.is_used, "bytes of nobody remain"
        stored = await media_administration.stored_bytes(self.db)
        source = await self.db.fetch(
            "SELECT FROM media_blobs WHERE sha256 = %s AND deletion_ts IS NULL", (self.source,)
        )
        assert stored == len(source) + len(self.data) * self.is_used, "what all media take is miscounted"
        await Worker(self, "last", self.db).upload()
        await self.look()
        await self._is_forgotten()

    async def _is_forgotten(self) -> None:
        """That it was, once nobody has it any more."""
        await self.db.execute("DELETE FROM media_thumbnails WHERE sha256 = %s", (self.sha256,))
        await self.db.execute("DELETE FROM remote_media WHERE sha256 = %s", (self.sha256,))
        rows = await self.db.fetch("SELECT media_id FROM media WHERE sha256 = %s", (self.sha256,))
        await media_lifetimes.delete_media(self.db, [row[0] for row in rows])
        await self._sweep()
        assert not self.bytes_there()
        await self._sweep()
        row = await self.db.fetch_one("SELECT FROM media_blobs WHERE sha256 = %s", (self.sha256,))
        assert row is None, "that it was deleted is forgotten at last"

    async def _sweep(self) -> None:
        """Hours later."""
        self.now_ms += HOURS_MS
        await Worker(self, "sweeper", self.db).sweep(GRACE_S)
        await self.look()

    async def hours_pass(self) -> None:
        """With two sweeps: one that deletes, one that forgets that it did."""
        for _ in range(2):
            self.now_ms += HOURS_MS
            with suppress(*EXPECTED):
                await Worker(self, "sweeper", self.db).sweep(GRACE_S)

    async def _settled(self) -> None:
        """Waits for what the dead had begun: the database may still do a statement of theirs, and a thread write."""
        for _ in range(SETTLED_TRIES):
            busy = await self.db.fetch(
                """
                SELECT FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
                """
            )
            if not busy and not self._threads._under_way:
                return
            await sleep(0.02)
        raise AssertionError("something of the dead goes on")

    async def close(self) -> None:
        await self.db.execute("DELETE FROM media; DELETE FROM media_usage")
        self._threads.close()
        await self.db.close()


class Worker:
    """What a worker does with the content: as a process step by step, or at once with a database given."""

    def __init__(self, place: Place, name: str, db: Database | None = None) -> None:
        self._place = place
        self.process = Process(f"{name} {next(_numbers)}", place.url, place.db)
        process, now_ms = self.process, lambda: place.now_ms
        self._is_at_once = db is not None
        self._db: Any = db or process.db
        self._store: Any = place.store if db else self._stepwise(place)
        background: Any = process.background
        self._deleting = Deleting(self._db, self._store, now_ms)
        # Who waits for somebody's deletion waits a step at a time, and then no longer.
        self._clock = Clock()
        self._clock.callLater = self._call_later  # type: ignore[method-assign,assignment]
        self._keeping = Keeping(self._db, self._store, self._deleting, background, self._clock, now_ms)

    def _stepwise(self, place: Place) -> Any:
        if isinstance(place.store, TwoPlaces):
            return TwoPlaces(*(StepwiseStore(self.process, one) for one in (place.store.new, place.store.old)))
        return StepwiseStore(self.process, place.store)

    def _call_later(self, delay: float, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        assert delay == CLAIM_PAUSE_S
        assert not self._is_at_once, "something stands in the way"

        async def passes() -> None:
            await self.process.step("wait")
            self._clock.rightNow += 5.0
            call(*args)

        self.process.start(passes())
        return SimpleNamespace(active=lambda: False)

    def work(self, what: str) -> Coroutine[Any, Any, object]:
        """One of those below, by its name."""
        return getattr(self, what)()  # type: ignore[no-any-return]

    def _content(self) -> Content:
        return Content(self._place.sha256, len(self._place.data), "text/plain", None, is_public=False)

    # What keeps it

    async def _keep(self, record: Callable[[int | None], Awaitable[Uploaded]]) -> None:
        async def recorded(accepted: int | None) -> bool:
            uploaded = await record(accepted)
            if uploaded is Uploaded.REFUSED:
                raise Refused
            return uploaded is Uploaded.RECORDED

        async with self._keeping.incoming() as incoming:
            digest = await incoming.receive(self._reading(), 1000)
            await incoming.keep(digest, recorded)

    async def _keep_with(self, record: Callable[[Queries], Awaitable[object]]) -> None:
        async def noted(db: Queries) -> None:
            await record(db)

        async with self._keeping.incoming() as incoming:
            digest = await incoming.receive(self._reading(), 1000)
            await incoming.keep_with(digest, noted)

    def _reading(self) -> Callable[[], Any]:
        pieces = [self._place.data]

        async def read() -> bytes:
            return pieces.pop() if pieces else b""

        return read

    async def upload(self, user_id: str = "@a:b", most: int | None = None) -> None:
        """Under a new id."""
        media_id = f"m{next(_numbers)}"
        await self._keep(
            lambda accepted: media.add_upload(self._db, media_id, user_id, 1, self._content(), most, accepted)
        )
        self._place.acknowledged.add(media_id)

    async def upload_refused(self) -> None:
        """Its user has no room."""
        with suppress(Refused):
            await self.upload("@poor:b", 0)
            raise AssertionError("there was no room")

    async def fill(self) -> None:
        """Under the id that was created."""
        now_ms = self._place.now_ms
        with suppress(Refused):
            await self._keep(
                lambda accepted: media.fill_pending(self._db, PENDING, now_ms, self._content(), None, accepted)
            )
            self._place.acknowledged.add(PENDING)

    async def fetch(self) -> None:
        """From another server."""
        await self._keep_with(
            lambda db: remote_media.fill_remote(db, *REMOTE, self._place.now_ms, self._content()),
        )

    async def thumbnail(self) -> None:
        """It is one of another content, if that is still there."""
        key = ThumbnailKey(self._place.source, "scale", 32, 32, animated=False)
        await self._keep_with(lambda db: media.add_thumbnail(db, key, self._place.sha256, "image/png"))

    # What takes it away

    async def delete(self) -> None:
        """All uploads of the content, and then its bytes."""
        rows = await self._db.fetch("SELECT media_id FROM media WHERE sha256 = %s", (self._place.sha256,))
        ids = [row[0] for row in rows]
        self._place.forgotten.update(ids)
        await media_lifetimes.delete_media(self._db, ids)
        await self._sweeper().delete_now([self._place.sha256])

    async def purge(self) -> None:
        """The same with what is of another server."""
        await self._sweeper().delete_now(
            await remote_media.delete_remote_unused_since(self._db, self._place.now_ms + 1, 10)
        )

    async def delete_source(self) -> None:
        """The content whose thumbnail it may be."""
        await media_lifetimes.delete_media(self._db, ["source"])
        await self._sweeper().delete_now([self._place.source])

    async def sweep(self, grace_s: float = 0.0) -> None:
        """Without a grace: what was written just now may be a stray."""
        await self._sweeper(grace_s).sweep([self._place.sha256[0]])

    def _sweeper(self, grace_s: float = GRACE_S) -> Sweeper:
        async def forget() -> None:
            return None

        metrics, now_ms = MediaMetrics(CollectorRegistry()), lambda: self._place.now_ms
        return Sweeper(self._db, self._store, self._deleting, reactor, now_ms, metrics, forget, grace_s)

    async def quarantine(self) -> None:
        """Under whatever id."""
        place = self._place
        await media_administration.quarantine_contents(self._db, [place.sha256], "@admin:b", place.now_ms)
        place.is_quarantined = True

    async def move(self) -> None:
        """From the old place to the new."""
        background: Any = self.process.background
        mover = Mover(self._store, self._db, self._deleting, background, lambda: 0.0)
        await mover._move_part(self._store, Step(self._place.sha256[0], b""), 1.0, keeps=False)

    # As before migration 0037

    async def old_upload(self) -> None:
        """Claims the content, puts its bytes in place, and then notes what refers to it."""
        place, db = self._place, self._db
        await db.execute(
            """
            INSERT INTO media_blobs (sha256, size, touched_ts) VALUES (%s, %s, %s)
                ON CONFLICT (sha256) DO UPDATE SET touched_ts = excluded.touched_ts
            """,
            (place.sha256, len(place.data), place.now_ms),
        )
        receiving = self._store.receive()
        await receiving.keep(Digest(place.sha256, len(place.data)), [place.data])
        media_id = f"m{next(_numbers)}"
        await media.add_media(db, media_id, "", 1, self._content())
        place.acknowledged.add(media_id)

    async def old_sweep(self) -> None:
        """Deletes bytes under a lock of the row, which it deletes with them."""
        place, db, before_ms = self._place, self._db, self._place.now_ms - 3_600_000
        with suppress(StatementRefused):  # something is made of it by now
            async with db.transaction() as txn:
                if await txn.execute(
                    "DELETE FROM media_blobs WHERE sha256 = %s AND touched_ts < %s", (place.sha256, before_ms)
                ):
                    await self._store.delete(place.sha256)
        if not await db.fetch("SELECT FROM media_blobs WHERE sha256 = %s", (place.sha256,)):
            with suppress(StatementRefused):  # the schema does not let it any more
                async with db.transaction() as txn:
                    if await txn.execute(
                        "INSERT INTO media_blobs (sha256, size, touched_ts) VALUES (%s, 0, 0) ON CONFLICT DO NOTHING",
                        (place.sha256,),
                    ):
                        await self._store.delete(place.sha256)
                        await txn.execute(
                            "DELETE FROM media_blobs WHERE sha256 = %s AND touched_ts < 1", (place.sha256,)
                        )

    # What was before

    async def stray(self) -> None:
        """Bytes without a row."""
        await self._place.store.receive().keep(Digest(self._place.sha256, len(self._place.data)), [self._place.data])

    async def unused(self) -> None:
        """Bytes that had been claimed long ago, and of which nothing is made."""
        await self.old_upload()
        place = self._place
        place.acknowledged.clear()
        await self._db.execute("DELETE FROM media WHERE sha256 = %s", (place.sha256,))
        await self._db.execute("UPDATE media_blobs SET touched_ts = 1 WHERE sha256 = %s", (place.sha256,))
        if place.kind == "moving":
            await place.local.receive().keep(Digest(place.sha256, len(place.data)), [place.data])

    async def used_in_the_old_place(self) -> None:
        """Uploaded before contents were moved."""
        place = self._place
        await self.upload()
        await place.local.receive().keep(Digest(place.sha256, len(place.data)), [place.data])
        await place.remote.delete(place.sha256)
