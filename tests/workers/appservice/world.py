"""A real master, a real database, workers of the role in this process, and services over real HTTP."""

import uuid
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any

from hs_common.appservices.http_client import ServiceClient
from hs_common.appservices.registry import ServiceRegistry
from hs_common.process.background import Background
from hs_common.replication.entry import Entry, decode_body
from hs_common.replication.subscription import hand_out, reset_all
from hs_common.storage.database import Database
from hs_workers.appservice.deliveries import Deliveries
from tests.master.harness import SERVER, START_MS, TestMaster
from tests.master.services import set_service
from tests.reactor import reactor, sleep
from tests.workers.appservice.fake_service import FakeService
from tests.workers.following import QUICK, WorldOfWorkers, followed_master

ALICE, GHOST = "@alice:test", "@irc_ghost:test"


class Worker:
    """One process of the role. `deaf`: it hears nothing of the log."""

    def __init__(self, database_url: str, seed: int, members: list[str], head: int) -> None:
        random = Random(seed)
        self.id = str(uuid.UUID(int=random.getrandbits(128)))
        self.db = Database(database_url, reactor, random.random, size=2)
        self.http = ServiceClient(reactor)
        self.registry = ServiceRegistry(self.db, SERVER, lambda: True)
        self._background = Background()
        self.deaf = False
        self.deliveries = Deliveries(
            db=self.db,
            http=self.http,
            clock=reactor,
            random=random,
            now_ms=lambda: START_MS,
            registry=self.registry,
            me=self.id,
            members=lambda: members,
            background=self._background,
            timing=QUICK,
        )
        self._subscriptions = [self.registry.subscription(), self.deliveries.subscription()]
        reset_all(self._subscriptions, head)
        self.deliveries.start()

    def hear(self, entry: Entry) -> None:
        if not self.deaf:
            hand_out(self._subscriptions, entry, decode_body(entry))

    async def stop(self) -> None:
        await self.deliveries.stop()
        await self._end()

    async def kill(self) -> None:
        """Ends without any of what a process does at its end; its connections break."""
        self.deaf = True
        self.deliveries.abandon()
        await self._end()

    async def _end(self) -> None:
        await self._background.drained()
        await self.http.close()
        await self.db.close()


class World(WorldOfWorkers[Worker]):
    def __init__(self, database_url: str, near: TestMaster) -> None:
        super().__init__(near)
        self.service = FakeService()
        self.service.start()
        self._database_url = database_url

    def start_worker(self) -> Worker:
        return self.started(Worker(self._database_url, next(self.seeds), self.members, self.head))

    async def end(self) -> None:
        await super().end()
        await self.service.stop()

    async def register(self, name: str = "irc", **changes: Any) -> None:
        await self.master.call(set_service(name, **{"url": self.service.url, **changes}))

    async def bridged_room(self) -> str:
        """A room with a ghost in it."""
        room = await self.master.create_room(ALICE)
        await self.master.member(room, GHOST, "join")
        return room

    async def send(self, room: str, count: int) -> list[str]:
        return [await self.master.send(room, ALICE, f"message {number}") for number in range(count)]

    async def rows_are_gone(self, table: str) -> None:
        """Waits until the table is empty."""
        for _ in range(500):
            if not await self.master.db.fetch(f"SELECT 1 FROM {table} LIMIT 1"):
                return
            await sleep(0.02)
        raise AssertionError(f"{table} still has rows")

    async def waiting(self) -> list[str]:
        """What the master has written down for the service, in order."""
        rows = await self.master.db.fetch("SELECT event_id FROM service_events ORDER BY pos")
        return [event_id for (event_id,) in rows]


def world(database_url: str) -> AbstractAsyncContextManager[World]:
    return followed_master(database_url, lambda near: World(database_url, near))
