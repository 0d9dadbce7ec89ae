"""A real master, a real database, workers of the role in this process, and servers that answer from memory."""

import uuid
from contextlib import AbstractAsyncContextManager
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import orjson
from twisted.internet.defer import Deferred

from hs_common.federation.client import FederationClient
from hs_common.federation.failures import ServerUnreachable
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.seal import seal
from hs_common.matrix.signing import SigningKey
from hs_common.process.background import Background
from hs_common.process.shares import Timing
from hs_common.replication.entry import Entry, decode_body
from hs_common.replication.federation_calls import (
    ComposeTemplate,
    IncomingEvent,
    Received,
    ReceiveEvents,
    Template,
)
from hs_common.replication.subscription import hand_out
from hs_common.storage.database import Database
from hs_workers.federation_sender.deliveries import Deliveries
from tests.master.harness import SERVER, START_MS, TestMaster
from tests.reactor import reactor
from tests.workers.following import QUICK, WorldOfWorkers, followed_master

ALICE = "@alice:test"
# Where nobody takes over: shares are taken as soon, and kept however busy the machine is.
STEADY = Timing(look_s=0.025, renew_s=0.05, fence_s=20.0, expires_s=30.0, steady_s=0.1)


class Elsewhere:
    """All other servers: what each has received, by transaction id. `away`: those that cannot be reached."""

    def __init__(self) -> None:
        self.transactions: dict[str, dict[str, dict[str, Any]]] = {}
        self.repeats: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.away: set[str] = set()
        self.losing: set[str] = set()  # servers whose next answer is lost
        self.hanging: set[str] = set()
        self.gates: dict[str, list[Deferred[None]]] = {}  # what the next requests of a server wait for

    async def json(self, destination: str, method: str, path: str, query: Any, body: bytes, **_: Any) -> dict[str, Any]:
        assert method == "PUT"
        if destination in self.hanging:
            await Deferred()
        if self.gates.get(destination):
            await self.gates[destination].pop(0)
        if destination in self.away:
            raise ServerUnreachable(destination, "connect", "nobody listens")
        txn_id = path.removeprefix("/_matrix/federation/v1/send/")
        received = orjson.loads(body)
        there = self.transactions.setdefault(destination, {})
        if txn_id in there:
            self.repeats.append((there[txn_id], received))
        there[txn_id] = received
        if destination in self.losing:
            self.losing.remove(destination)
            raise ServerUnreachable(destination, "broken", "the answer was lost")
        return {"pdus": {}}

    def bodies(self, destination: str) -> list[str]:
        """Texts of the messages received, in order."""
        pdus = [pdu for body in self.transactions.get(destination, {}).values() for pdu in body["pdus"]]
        return [pdu["content"]["body"] for pdu in pdus if pdu["type"] == "m.room.message"]

    def edus(self, destination: str, edu_type: str) -> list[dict[str, Any]]:
        """Contents of the EDUs received, in order."""
        edus = [edu for body in self.transactions.get(destination, {}).values() for edu in body["edus"]]
        return [edu["content"] for edu in edus if edu["edu_type"] == edu_type]


class Worker:
    """One process of the role."""

    def __init__(
        self, database_url: str, seed: int, members: list[str], elsewhere: Elsewhere, pos: int, timing: Timing
    ) -> None:
        random = Random(seed)
        self.id = str(uuid.UUID(int=random.getrandbits(128)))
        self.db = Database(database_url, reactor, random.random, size=2)
        self.pos = pos
        self._background = Background()
        self.deaf = False
        client = SimpleNamespace(
            identity=SimpleNamespace(server_name=SERVER),
            domains=SimpleNamespace(may_talk=lambda server: True),
            json=elsewhere.json,
        )
        self.deliveries = Deliveries(
            db=self.db,
            client=cast(FederationClient, client),
            clock=reactor,
            random=random,
            now_ms=lambda: START_MS,
            me=self.id,
            members=lambda: members,
            head=lambda: self.pos,
            background=self._background,
            timing=timing,
        )
        self._subscriptions = [self.deliveries.subscription()]
        self.deliveries.start()

    def hear(self, entry: Entry) -> None:
        if not self.deaf:
            self.pos = entry.pos
            hand_out(self._subscriptions, entry, decode_body(entry))

    async def stop(self) -> None:
        await self.deliveries.stop()
        await self._end()

    async def kill(self) -> None:
        self.deaf = True
        self.deliveries.abandon()
        await self._end()

    async def _end(self) -> None:
        await self._background.drained()
        await self.db.close()


class World(WorldOfWorkers[Worker]):
    def __init__(self, database_url: str, near: TestMaster) -> None:
        super().__init__(near)
        self.elsewhere = Elsewhere()
        self._database_url = database_url

    def start_worker(self, timing: Timing = QUICK) -> Worker:
        seed = next(self.seeds)
        return self.started(Worker(self._database_url, seed, self.members, self.elsewhere, self.head, timing))

    async def join(self, room: str, user_id: str) -> None:
        """A user of another server joins through this one."""
        await self.change(room, user_id, "join")

    async def change(self, room: str, user_id: str, membership: Any) -> None:
        template = await self.master.call(ComposeTemplate(room_id=room, user_id=user_id, membership=membership))
        assert isinstance(template, Template)
        key = SigningKey("a_there", b"\x02" * 32)
        version = ROOM_VERSIONS[template.room_version]
        sealed = seal(orjson.loads(template.pdu), version, user_id.partition(":")[2], key)
        event = IncomingEvent(event_id=sealed.event_id, pdu=sealed.encoded)
        answer = await self.master.call(ReceiveEvents(room_id=room, events=[event], introduced=True))
        assert isinstance(answer, Received)
        assert answer.verdicts[0].status == "accepted", answer

    async def shared_room(self, *users: str) -> str:
        room = await self.master.create_room(ALICE)
        for user_id in users:
            await self.join(room, user_id)
        return room


def world(database_url: str) -> AbstractAsyncContextManager[World]:
    return followed_master(database_url, lambda near: World(database_url, near))
