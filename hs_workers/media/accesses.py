"""When media were last sent to somebody, written now and then: retention goes by it, and some minutes do not matter."""

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from hs_common.process.ongoing import Ongoing
from hs_common.replication.clock import Clock, pause
from hs_common.storage import media_lifetimes, remote_media
from hs_common.storage.queries import DatabaseError, Queries

FLUSH_S: Final = 60.0
KEPT_LIMIT: Final = 50_000
"""Beyond, within a minute, some are not noted."""
BATCH: Final = 1_000


class Accesses:
    """`now_ms` is the time of day."""

    def __init__(self, db: Queries, clock: Clock, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock
        self._now_ms = now_ms
        self._local: set[str] = set()
        self._remote: set[tuple[str, str]] = set()
        self._flushing = Ongoing(clock, "writing when media were read", self._flush_on)
        self._log = Logger()

    def note(self, media_id: str) -> None:
        """A medium of this server was sent."""
        if len(self._local) < KEPT_LIMIT:
            self._local.add(media_id)

    def note_remote(self, server_name: str, media_id: str) -> None:
        """A medium of another one was."""
        if len(self._remote) < KEPT_LIMIT:
            self._remote.add((server_name, media_id))

    async def start(self) -> None:
        """Writes now and then, from now on."""
        self._flushing.start()

    async def stop(self) -> None:
        """Writes the last ones."""
        self._flushing.stop()
        await self.flush()

    async def _flush_on(self) -> None:
        while True:
            await pause(self._clock, FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Writes what was noted. In the order of keys, so that two workers do not wait for each other in a circle."""
        local, self._local = sorted(self._local), set()
        remote, self._remote = sorted(self._remote), set()
        try:
            for begin in range(0, len(local), BATCH):
                await media_lifetimes.note_access(self._db, local[begin : begin + BATCH], self._now_ms())
            for begin in range(0, len(remote), BATCH):
                await remote_media.note_remote_access(self._db, remote[begin : begin + BATCH], self._now_ms())
        except DatabaseError as error:
            self._log.warn("When media were last sent is not noted: {error}", error=error)
