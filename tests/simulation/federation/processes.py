"""The worker processes of a server: one that serves other servers and acts for users, and those that send."""

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from hs_common.config.federation import Federation
from hs_common.federation.accounts import Accounts
from hs_common.federation.back_off import MemoryBackOff
from hs_common.federation.client import FederationClient, Identity
from hs_common.federation.domains import Domains
from hs_common.federation.outgoing import OtherServers, Outgoing
from hs_common.federation.policy_servers import PolicyServers
from hs_common.federation.remote import RemoteServers
from hs_common.federation.sending import Sending
from hs_common.federation.signs_of_life import SignsOfLife
from hs_common.process.background import Background
from hs_common.process.ongoing import Ongoing
from hs_common.reading.server_view import ServerViews
from hs_common.replication.carrier import Position
from hs_common.replication.clock import pause
from hs_common.replication.entry import UnknownFormat
from hs_common.replication.ephemeral import Message
from hs_common.replication.ephemeral_view import EphemeralView
from hs_common.replication.follower import Follower
from hs_common.replication.outbox import Outbox
from hs_common.replication.subscription import Subscription
from hs_workers.federation_inbound.backfill import Backfill
from hs_workers.federation_inbound.event_answers import EventAnswers
from hs_workers.federation_inbound.event_auth import EventAuth
from hs_workers.federation_inbound.events import Events
from hs_workers.federation_inbound.graph import Graph
from hs_workers.federation_inbound.rooms import Rooms
from hs_workers.federation_inbound.writing import WritingOutside, WritingParts
from hs_workers.federation_sender.deliveries import Deliveries
from tests.simulation.clock import Process
from tests.simulation.ears import Ear, Ears
from tests.simulation.federation.database import FederationDatabase
from tests.simulation.federation.door import Door
from tests.simulation.federation.keys import DigestKey, DigestRing
from tests.simulation.federation.near_link import NearLink
from tests.simulation.federation.reads import FederationReads
from tests.simulation.federation.received import ReceivedEvents
from tests.simulation.federation.received_receipts import ReceivedReceipts
from tests.simulation.federation.wire import Egress, Names, Question, SimulatedAnswer, Wire
from tests.simulation.masters import MasterProcess
from tests.simulation.session import Road
from tests.simulation.surroundings import Surroundings

_PASSING_LIMIT = 2  # of what is not kept, in one transaction: so that some has to wait
_PASS_TIME_S = 5.0  # seldom: it is done in every worker for as long as a world lasts


class Site:
    """What the processes of one server share."""

    def __init__(self, world: Surroundings, wire: Wire, name: str) -> None:
        self.world = world
        self.wire = wire
        self.name = name
        self.key: Any = DigestKey(name)
        self.call_loss = 0.0
        self.master: Callable[[], MasterProcess | None] = lambda: None
        self.senders: Callable[[], Sequence[str]] = list  # the ids of those that live
        self.received = ReceivedEvents(name)
        self.receipts = ReceivedReceipts(name)

    def loses_call(self) -> bool:
        return self.call_loss > 0 and self.world.random.random() < self.call_loss


class WorkerLife:
    """What every worker process has."""

    def __init__(self, site: Site, name: str) -> None:
        world = site.world
        self.site = site
        self.id = str(uuid.UUID(int=world.random.getrandbits(128)))
        self.process = Process(world.clock, f"{name} of {site.name}")
        self.db = FederationReads(Road(self.process, world.database, world.latency))
        self.link = NearLink(self.process, world.random, world.latency, site.master, site.loses_call)
        self.background = Background()
        self.back_off = MemoryBackOff(self.process.seconds, world.random.random)
        self.client = FederationClient(
            Identity(site.name, site.key),
            Domains(Federation(), site.name),
            Names(),  # type: ignore[arg-type]
            Egress(site.wire, self.process, site.name),  # type: ignore[arg-type]
            self.back_off,
            self.process,
        )
        self.ear = Ear(world, self.process)
        self.shown = EphemeralView()
        self._passing = Ongoing(self.process, "the passing of time", self._pass_time)

    def follow(self, subscription: Subscription) -> Follower:
        world = self.site.world
        return Follower(self.process, world.random, Outbox(self.db), [subscription], self._cannot_read)

    def listen(self, follower: Follower) -> None:
        for process, carrier in self.site.world.carriers:
            if process.is_alive:
                carrier.start(self.ear, Position(0, 0))
                carrier.listen(self.hear)
        self._passing.start()
        Deferred.fromCoroutine(follower.start(Ears(self.ear)))

    def hear(self, counter: int, body: bytes) -> None:
        """A master tells who types."""
        self.process.callLater(0.0, self._take, counter, body)

    def _take(self, counter: int, body: bytes) -> None:
        message = self.shown.apply(counter, body, self.site.world.now_ms())
        if message is not None:
            self.passes(message)

    def passes(self, message: Message) -> None:
        """What is not kept has changed."""

    async def _pass_time(self) -> None:
        while True:
            await pause(self.process, _PASS_TIME_S)
            for message in self.shown.pass_time(self.site.world.now_ms()):
                self.passes(message)

    def kill(self) -> None:
        self.process.kill()

    def _cannot_read(self, error: UnknownFormat) -> None:
        self.site.world.violation(f"{self.process.name} cannot read the log: {error}")


class Inbound(WorkerLife):
    """Serves other servers, and does what users want."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, "inbound")
        world, db = site.world, self.db
        remote = RemoteServers(self.client)
        others = OtherServers(
            remote,
            RemoteServers(self.client, quick=True),
            DigestRing(),
            site.name,
            site.key,
            self.process,
            world.now_ms,
            world.random_bytes,
            lambda: str(uuid.UUID(int=world.random.getrandbits(128))),
        )
        self.outgoing = Outgoing(db, self.link, others)
        self.parts = WritingParts(
            WritingOutside(
                db,
                self.link,
                self.outgoing,
                self.process,
                self.background,
                self.id,
                lambda: [self.id],
                self._fetches,
                Accounts(self.process.seconds),
                _no_identity_server,
            )
        )
        policies = PolicyServers(db, self.outgoing.policy_server, self.process.seconds)
        self.sending = Sending(db, self.link, policies, self.outgoing.invites)
        self.signs = SignsOfLife(db, self.link, self.process.seconds, self.background)
        self._follower = self.follow(self.parts.subscription())
        rooms, graph, views = Rooms(db, site.name), Graph(db), ServerViews(db)
        answers = EventAnswers(site.name, world.now_ms)
        reading = (
            Backfill(rooms, graph, views, answers),
            EventAuth(db, rooms, graph),
            Events(db, rooms, graph, views, answers),
        )
        self._door = Door((*self.parts.endpoints(), *reading), self._heard, world.violation)

    def start(self) -> None:
        self.listen(self._follower)
        keeper = self.parts._keepers[0]  # nobody here has devices, so nothing is done for their lists
        keeper.start()
        self.parts.queues.start(keeper)
        self.site.wire.listeners[self.site.name] = (self.process, self._answer)

    async def _answer(self, question: Question) -> SimulatedAnswer:
        database, received, receipts = self.site.world.database, self.site.received, self.site.receipts
        assert isinstance(database, FederationDatabase)
        now = self.process.seconds()
        arrival = received.asked(question, database.tables, now)
        receipts.asked(question, database.tables, now)
        answer = await self._door.answer(question)
        received.note(question, answer, database.tables, arrival)
        receipts.note(question, answer, database.tables)
        return answer

    def _heard(self, origin: str) -> None:
        self.back_off.alive(origin)
        self.signs.heard(origin)

    def _fetches(self, what: str) -> None:
        self.site.world.counts[f"fetched: {what}"] += 1


class Sender(WorkerLife):
    """Sends to other servers."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, "sender")
        world = site.world
        self.deliveries = Deliveries(
            db=self.db,
            client=self.client,
            clock=self.process,
            random=world.random,
            now_ms=world.now_ms,
            me=self.id,
            members=site.senders,
            head=lambda: self._follower.position.pos,
            background=self.background,
            told=partial(_count, world),
        )
        self.deliveries.lane.limit = _PASSING_LIMIT
        self._follower = self.follow(self.deliveries.subscription())

    def start(self) -> None:
        self.listen(self._follower)
        self.deliveries.start()

    def passes(self, message: Message) -> None:
        self.deliveries.heard(message)


def _count(world: Surroundings, pdus: int, edus: int, failed: bool) -> None:
    world.counts["transactions failed" if failed else "transactions received"] += 1


async def _no_identity_server(url: str, public_key: str) -> bool:
    raise AssertionError("nobody here is invited by an address")
