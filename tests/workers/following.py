"""Workers of one role in this process, which follow the log of a real master: they come, end and die."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from hs_common.process.shares import Timing
from hs_common.replication.entry import Entry
from tests.master.harness import TestMaster, master

# As in production, but forty times as fast.
QUICK = Timing(look_s=0.025, renew_s=0.05, fence_s=0.15, expires_s=0.25, steady_s=0.1)


class FollowingWorker(Protocol):
    """One process of the role."""

    id: str

    def hear(self, entry: Entry) -> None:
        """An entry of the log."""

    async def stop(self) -> None:
        """Ends well."""

    async def kill(self) -> None:
        """Ends without any of what a process does at its end; its connections break."""


W = TypeVar("W", bound=FollowingWorker)


class WorldOfWorkers(Generic[W]):
    """A master and its workers. `members` are the ids of those that live; `head` is where the log is."""

    def __init__(self, near: TestMaster) -> None:
        self.master = near
        self.workers: list[W] = []
        self.members: list[str] = []
        self.head = near.entries[-1].pos if near.entries else 0
        self.seeds = itertools.count(1)

    def started(self, worker: W) -> W:
        """The worker, which follows from now on."""
        self.workers.append(worker)
        self.members.append(worker.id)
        return worker

    def hear(self, entry: Entry) -> None:
        """An entry of the log, for all."""
        self.head = entry.pos
        for worker in self.workers:
            worker.hear(entry)

    async def kill(self, worker: W) -> None:
        self._forget(worker)
        await worker.kill()

    async def stop(self, worker: W) -> None:
        self._forget(worker)
        await worker.stop()

    def _forget(self, worker: W) -> None:
        self.workers.remove(worker)
        self.members.remove(worker.id)

    async def end(self) -> None:
        """Of the test."""
        for worker in list(self.workers):
            await self.stop(worker)


M = TypeVar("M", bound=WorldOfWorkers[Any])


@asynccontextmanager
async def followed_master(database_url: str, make_world: Callable[[TestMaster], M]) -> AsyncIterator[M]:
    """The world of a master, as long as it lives."""
    worlds: list[M] = []

    def hear(entry: Entry) -> None:
        for world in worlds:
            world.hear(entry)

    async with master(database_url, hear) as near:
        worlds.append(make_world(near))
        try:
            yield worlds[0]
        finally:
            await worlds[0].end()
