"""How much waits to be pushed from this worker, and how long the oldest has, for metrics and alerts.

Pushers whose gateway fails are counted apart: their queues say something of the gateway, not of this worker.
"""

from collections.abc import Callable, Collection
from typing import Final

from twisted.logger import Logger

from hs_common.process.metrics import Metrics
from hs_common.process.ongoing import Ongoing
from hs_common.replication.clock import Clock, pause
from hs_common.storage import push_queue
from hs_common.storage.queries import DatabaseError, Queries

LOOK_S: Final = 5.0

_log = Logger()


class Lag:
    """Looks at the queues of the shards held. `unjudged`: items of the log that wait; `now_ms`: the time of day."""

    def __init__(
        self,
        db: Queries,
        clock: Clock,
        now_ms: Callable[[], int],
        metrics: Metrics,
        shards: Callable[[], Collection[int]],
        unjudged: Callable[[], int],
        tidy: Callable[[], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._now_ms = now_ms
        self._shards = shards
        self._tidy = tidy
        self._waiting = 0
        self._oldest_ms: int | None = None
        self._failing = 0
        self._running = Ongoing(clock, "looking how much waits to be pushed", self._run)
        metrics.watch_queue("push judging", unjudged)
        metrics.watch_queue("push", lambda: self._waiting, self.seconds)
        metrics.watch_queue("push to failing gateways", lambda: self._failing)

    async def start(self) -> None:
        self._running.start()

    async def stop(self) -> None:
        self._running.stop()

    def seconds(self) -> float:
        """How long the oldest notification has been waiting that no failing gateway holds up."""
        return 0.0 if self._oldest_ms is None else max(0.0, (self._now_ms() - self._oldest_ms) / 1000)

    async def _run(self) -> None:
        while True:
            try:
                lengths = await push_queue.lengths(self._db, sorted(self._shards()))
                self._waiting, self._oldest_ms, self._failing = lengths
            except DatabaseError as error:
                _log.warn("cannot see how much waits to be pushed: {error}", error=error)
            self._tidy()
            await pause(self._clock, LOOK_S)
