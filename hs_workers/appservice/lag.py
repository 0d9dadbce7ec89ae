"""How far services are behind: events that wait, and how long the oldest has, for metrics and alerts."""

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from hs_common.process.metrics import Metrics
from hs_common.process.ongoing import Ongoing
from hs_common.replication.clock import Clock, pause
from hs_common.storage import service_queue
from hs_common.storage.queries import DatabaseError, Queries

LOOK_S: Final = 5.0

_log = Logger()


class Lag:
    """Looks at the queues of the services that this worker sends to."""

    def __init__(
        self, db: Queries, clock: Clock, now_ms: Callable[[], int], metrics: Metrics, services: Callable[[], list[str]]
    ) -> None:
        self._db = db
        self._clock = clock
        self._now_ms = now_ms
        self._metrics = metrics
        self._services = services
        self._seen: dict[str, tuple[int, int | None]] = {}
        self._watched: set[str] = set()
        self._running = Ongoing(clock, "looking how far application services are behind", self._run)

    async def start(self) -> None:
        self._running.start()

    async def stop(self) -> None:
        self._running.stop()

    async def _run(self) -> None:
        while True:
            try:
                self._seen = {one: await service_queue.waiting(self._db, one) for one in self._services()}
            except DatabaseError as error:
                _log.warn("cannot see how far application services are behind: {error}", error=error)
            for service_id in self._seen.keys() - self._watched:
                self._watch(service_id)
            await pause(self._clock, LOOK_S)

    def _watch(self, service_id: str) -> None:
        self._watched.add(service_id)
        self._metrics.watch_queue(
            f"appservice {service_id}", lambda: self.events(service_id), lambda: self.seconds(service_id)
        )

    def events(self, service_id: str) -> int:
        """Events that wait for the service; 0 also when another worker sends to it."""
        return self._seen.get(service_id, (0, None))[0]

    def seconds(self, service_id: str) -> float:
        """How long the oldest of them has been waiting."""
        oldest_ms = self._seen.get(service_id, (0, None))[1]
        return 0.0 if oldest_ms is None else max(0.0, (self._now_ms() - oldest_ms) / 1000)
