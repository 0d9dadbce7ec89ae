"""A worker process of a world: the real follower, read barrier and link, and a small stand-in for the roles.

Its /sync answers what is new between a token and the follower's position, by the rules of failure-rules that tokens
have: never a smaller token than asked for, but across a history that was lost.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError
from hs_common.replication.barrier import ReadBarrier
from hs_common.replication.carrier import Position
from hs_common.replication.entry import UnknownFormat
from hs_common.replication.follower import Follower
from hs_common.replication.link import MasterLink
from hs_common.replication.link_connection import LinkIdentity
from hs_common.replication.outbox import Outbox
from hs_common.storage import log
from hs_common.storage.queries import DatabaseUnavailable
from hs_workers.sync.lost_history import LostHistory
from tests.simulation.clock import Process
from tests.simulation.ears import Ear, Ears
from tests.simulation.masters import CLUSTER, SECRET
from tests.simulation.mirror import Derived, Mirror, News, fresh
from tests.simulation.session import Reads, Road
from tests.simulation.surroundings import Surroundings

TOKEN_WAIT_S = 1.0  # for a follower to reach a token that is ahead of it


@dataclass(frozen=True)
class SyncAnswer:
    """What is new above `since`, which is below the token asked with if a history was lost in between."""

    since: int
    news: list[News]
    next_batch: int


class WorkerProcess:
    """One life of a worker."""

    def __init__(self, world: Surroundings, name: str) -> None:
        self.process = Process(world.clock, name)
        self.under_way: list[Deferred[Any]] = []  # requests without an answer
        self._world = world
        self._reads = Reads(Road(self.process, world.database, world.latency))
        self.mirror = Mirror(world.database)
        self.follower = Follower(
            self.process, world.random, Outbox(self._reads), [self.mirror.subscription()], self._cannot_read
        )
        self._lost = LostHistory(self._reads, lambda: self.follower.position.epoch)
        self.ear = Ear(world, self.process)
        self.barrier = ReadBarrier(self.process, self.follower, lambda: log.head(self._reads))
        self.link = MasterLink(
            self.process,
            world.random,
            world.random_bytes,
            LinkIdentity(CLUSTER, SECRET, "client"),
            self._find_leader,
            partial(world.network.dial, self.process),
            lambda: self.follower.highest_epoch,
        )

    def start(self) -> None:
        for process, carrier in self._world.carriers:
            if process.is_alive:
                carrier.start(self.ear, Position(0, 0))
        self.link.start()
        Deferred.fromCoroutine(self.follower.start(Ears(self.ear)))

    def kill(self) -> None:
        self.process.kill()
        self._world.network.process_died(self.process)
        for request in list(self.under_way):
            if not request.called:
                request.callback(None)

    async def sync(self, since: int) -> SyncAnswer:
        """What is new. Raises MatrixError (503) when this worker cannot say."""
        try:
            return await self._sync(since)
        except DatabaseUnavailable:
            raise MatrixError(503, "M_UNKNOWN", "The database is away") from None

    async def _sync(self, since: int) -> SyncAnswer:
        derived, position = await self._known(since)
        # Asked after the position is chosen: a token of a lost history must not be carried over into the next one.
        lost_before = await self.lost_before(since, position)
        if lost_before is not None:
            self._world.counts["tokens of a lost history"] += 1
            since = lost_before
        if since > position:
            raise MatrixError(503, "M_UNKNOWN", "This worker is behind the token")
        return SyncAnswer(since, derived.between(since, position), position)

    async def _known(self, since: int) -> tuple[Derived, int]:
        """What to answer from, and its position: the follower's, at the token if that can be; else the database's."""
        if not await self.barrier.reached():
            self._world.counts["syncs past the barrier"] += 1
            head = await log.head(self._reads)
            return fresh(self._world.database, head), head
        if since > self.follower.position.pos:
            self.follower.catch_up()
            await self.follower.wait_for(since, TOKEN_WAIT_S)
        return self.mirror.derived, self.follower.position.pos

    async def lost_before(self, since: int, position: int) -> int | None:
        """Where a token of a lost history has to go back to, in an answer at a position."""
        return await self._lost.before(since, anew=position > self.follower.position.pos)

    async def _find_leader(self) -> str | None:
        address: str | None = (await log.leader(self._reads))[3]
        return address

    def _cannot_read(self, error: UnknownFormat) -> None:
        self._world.violation(f"{self.process.name} cannot read the log: {error}")
