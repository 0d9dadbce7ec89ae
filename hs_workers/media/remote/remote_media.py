"""Media of other servers, as downloads ask for them: those that are kept, or fetched once however many ask at the same
time, whichever worker they ask.

Rules: a worker that fetches has claimed the row; others look again now and then. What could not be had is not tried
again for a while.
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.matrix.errors import MatrixError, limit_exceeded, not_found, unknown
from hs_common.process.background import Background
from hs_common.replication.clock import Clock, pause
from hs_common.storage import remote_media
from hs_common.storage.queries import Queries
from hs_common.storage.remote_media import RemoteMedia
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.remote.fetching import Fetching

AT_ONCE: Final = 64
"""Fetched by a worker; each holds half a megabyte and mostly waits."""
PER_SERVER: Final = 4
"""Half of the connections that a process has to one server."""
WAITING_LIMIT: Final = 1_000
RETRY_AFTER_MS: Final = 5_000
LOOK_AGAIN_S: Final = 0.5
"""At what another worker fetches."""
CLAIM_GRACE_MS: Final = 60_000
"""A claim outlives the limit of a fetch by this, for the storage's sake."""
FAILED_S: Final = 60.0
NOT_YET_S: Final = 2.0
"""What is not uploaded yet may be in a moment."""
FAILURES_KEPT: Final = 10_000

Key = tuple[str, str]


class RemoteMediaFinder:
    """`now_ms` is the time of day, `clock` never goes back; `timeout_ms` is the limit of one fetch."""

    def __init__(
        self,
        db: Queries,
        fetching: Fetching,
        background: Background,
        metrics: MediaMetrics,
        clock: Clock,
        now_ms: Callable[[], int],
        timeout_ms: int,
    ) -> None:
        self._db = db
        self._fetching = fetching
        self._background = background
        self._metrics = metrics
        self._clock = clock
        self._now_ms = now_ms
        self._timeout_ms = timeout_ms
        self._slots = DeferredSemaphore(AT_ONCE)
        self._of_server: dict[str, DeferredSemaphore] = {}
        self._waiting: dict[Key, list[Deferred[None]]] = {}
        self._failed = Bounded[Key, tuple[float, MatrixError]](FAILURES_KEPT)
        self._log = Logger()

    def waiting(self) -> int:
        """How many are being fetched or wait for it."""
        return len(self._waiting)

    async def find(self, server_name: str, media_id: str, timeout_ms: int, *, may_fetch: bool) -> RemoteMedia:
        """The medium, with its content. 404 `M_NOT_FOUND`; 502 if it cannot be had; 504 `M_NOT_YET_UPLOADED` if it is
        not here within the time, which it may be later; 429 if too many wait."""
        end_s = self._clock.seconds() + timeout_ms / 1000
        is_first_look = True
        while True:
            found = await remote_media.find_remote(self._db, server_name, media_id)
            if found is not None and found.sha256 is not None:
                self._metrics.remote("found" if is_first_look else "waited")
                return found
            if not may_fetch:
                raise not_found("These media of another server are not kept here")
            is_first_look = False
            self._raise_known_failure((server_name, media_id))
            left_s = end_s - self._clock.seconds()
            if left_s <= 0:
                raise MatrixError(504, "M_NOT_YET_UPLOADED", "The media are still being fetched")
            await self._fetched((server_name, media_id), left_s)

    async def _fetched(self, key: Key, left_s: float) -> None:
        """Waits for what is under way, or begins it. Returns when it is worth to look again."""
        waiting: Deferred[None] = Deferred()
        if key in self._waiting:
            self._waiting[key].append(waiting)
        else:
            if len(self._waiting) >= WAITING_LIMIT:
                raise limit_exceeded(RETRY_AFTER_MS)
            self._waiting[key] = [waiting]  # before it begins, as it may end at once
            expires_ms = self._now_ms() + self._timeout_ms + CLAIM_GRACE_MS
            self._background("fetch media", self._fetch_for_all(key, expires_ms))
        timer = self._clock.callLater(left_s, _fire, waiting)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()

    async def _fetch_for_all(self, key: Key, expires_ms: int) -> None:
        """Not as part of a request: its client may go, and others wait for the same."""
        error: MatrixError | None = unknown("The media could not be fetched", status=503)
        try:
            if not await remote_media.claim_remote(self._db, *key, self._now_ms(), expires_ms):
                error = None
                await pause(self._clock, LOOK_AGAIN_S)
                return
            error = await self._slots.run(lambda: self._server_slots(key[0]).run(self._fetching_of, key))
            if error is not None:
                await remote_media.release_remote(self._db, *key, expires_ms)
        finally:
            if error is not None:
                self._note_failure(key, error)
            for waiting in self._waiting.pop(key):
                _fire(waiting)

    def _server_slots(self, server_name: str) -> DeferredSemaphore:
        """Few at once of one server, which is talked with of other things as well."""
        slots = self._of_server.setdefault(server_name, DeferredSemaphore(PER_SERVER))
        for name in [name for name, other in self._of_server.items() if other is not slots and _is_idle(other)]:
            del self._of_server[name]
        return slots

    def _fetching_of(self, key: Key) -> "Deferred[MatrixError | None]":
        return Deferred.fromCoroutine(self._fetch(key))

    async def _fetch(self, key: Key) -> MatrixError | None:
        try:
            size = await self._fetching.fetch(*key)
        except MatrixError as error:
            self._metrics.remote("missing" if error.status == 404 else "failed")
            self._log.info(
                "mxc://{server}/{id} cannot be had: {error}", server=key[0], id=key[1], error=error.__cause__
            )
            return error
        self._metrics.remote("fetched")
        self._metrics.fetched(size)
        return None

    def _raise_known_failure(self, key: Key) -> None:
        known = self._failed.get(key)
        if known is None:
            return
        if known[0] > self._clock.seconds():
            raise known[1]
        del self._failed[key]

    def _note_failure(self, key: Key, error: MatrixError) -> None:
        lifetime_s = NOT_YET_S if error.errcode == "M_NOT_YET_UPLOADED" else FAILED_S
        self._failed[key] = (self._clock.seconds() + lifetime_s, error)


def _fire(waiting: "Deferred[Any]") -> None:
    if not waiting.called:
        waiting.callback(None)


def _is_idle(slots: DeferredSemaphore) -> bool:
    return slots.tokens == slots.limit and not slots.waiting
