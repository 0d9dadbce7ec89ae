"""A master process of a world: everything real but its clock, its network, its database and its signing key."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from hs_common.process.background import Background
from hs_common.replication.carrier import Beat, Position
from hs_common.replication.carrier_memory import Faults, MemoryCarrier
from hs_common.replication.clock import pause
from hs_common.replication.link_server import LinkServer
from hs_common.storage.queries import Queries
from hs_master.desk import Desk
from hs_master.ephemeral import EphemeralDesk
from hs_master.leadership import Election
from hs_master.leading import Term
from hs_master.log_store.types import Batch, Candidate, Leadership
from hs_master.master import Announcer, Master
from hs_master.memory_announcer import MemoryAnnouncer
from hs_master.pipeline.rehearsal import Steps
from hs_master.pipeline.writer import WriterMetrics
from hs_master.rooms.compose import Composer
from hs_master.step import Knowledge
from tests.simulation.clock import Process
from tests.simulation.ears import Ear
from tests.simulation.intents import FATAL
from tests.simulation.session import CommitFaults, Reads, Road, Session
from tests.simulation.surroundings import Surroundings

SERVER = "test"
SECRET = b"secret"
CLUSTER = "cluster"


REHEARSAL_S = 0.01  # to copy a process and decide a batch in the copy


class Ended(BaseException):
    """The process ended in the middle of what it did. No code catches it."""


class FastKey:
    """Signs without signing: real signatures would be most of a world's time, and nothing here checks one. Ends the
    process, or its copy in a rehearsal, over a fatal event."""

    key_id = "ed25519:fast"

    def __init__(self, end: Callable[[], None]) -> None:
        self.is_rehearsing = False
        self._end = end

    def sign_bytes(self, data: bytes) -> str:
        if FATAL.encode() in data:
            if not self.is_rehearsing:
                self._end()
            raise Ended
        return "signed"


class MasterProcess:
    """One life of a master: from its start to its death or its clean end."""

    def __init__(
        self,
        world: Surroundings,
        address: str,
        server_name: str = SERVER,
        key: Any = None,
        reads_of: Callable[[Road], Queries] = Reads,
    ) -> None:
        self.address = address
        self._server_name = server_name
        self.process = Process(world.clock, f"master {address}")
        self._world = world
        road = Road(self.process, world.database, world.latency)
        self.session = Session(road, CommitFaults(world.random, self._befall))
        self.reads = reads_of(road)
        candidate = Candidate(self._uuid(), address, 1, 1)
        self._key: Any = FastKey(lambda: world.ended(self.process)) if key is None else key
        self.election = Election(
            self.session, candidate, self.process, self._member_beat, self._stream_epoch, now=self.process.seconds
        )
        self.desk = Desk(lambda: self.election.is_leader, self.election.check)
        self.carrier = MemoryCarrier(self.process, self._beat, self._carrier_faults())
        self.background = Background()
        self.terms: list[Term] = []
        self.master = Master(self.election, self._term, self._announcer, lambda: None)
        self.link = LinkServer(
            self.process, SECRET, CLUSTER, world.random_bytes, self.master.leadership, self.desk.work
        )
        self.master.link = self.link

    def start(self, ears: Sequence[Ear]) -> None:
        self._world.network.listeners[self.address] = (self.process, self.link)
        self._world.carriers.append((self.process, self.carrier))
        for ear in ears:
            self.carrier.start(ear, Position(0, 0))
        self.master.start(self._failed)

    def kill(self) -> None:
        """The process dies; the database notices that its connection is gone."""
        self.process.kill()
        self._world.network.process_died(self.process)
        self._world.database.end_session(self.session.store)

    async def hand_over(self) -> None:
        """The clean end."""
        await self.master.stop()
        await self.carrier.stop()
        self.kill()

    # --- what it is made of ---

    def _term(self, master: Master, leadership: Leadership, knowledge: Knowledge) -> Term:
        world = self._world
        self._world.counts["terms"] += 1
        term = Term(
            leadership=leadership,
            log=self.session,
            election=self.election,
            desk=self.desk,
            db=self.reads,
            clock=self.process,
            composer=Composer(self._server_name, self._key, self._event_id),
            server_name=self._server_name,
            publish=master.publish,
            on_new_epoch=master.take_new_epoch,
            ephemeral=EphemeralDesk(self.process, world.now_ms, master.publish_ephemeral),
            metrics=WriterMetrics(),
            now_ms=world.now_ms,
            new_batch_id=self._uuid,
            background=self.background,
            knowledge=knowledge,
            rehearse=self._rehearse,
        )
        self.terms.append(term)
        return term

    async def _rehearse(self, steps: Steps) -> int | None:
        """Deciding changes nothing but a draft, so there is no need of a copy."""
        self._world.counts["rehearsals"] += 1
        await pause(self.process, REHEARSAL_S)
        self._key.is_rehearsing = True
        try:
            return next((number for number, step in enumerate(steps) if _ends(step)), None)
        finally:
            self._key.is_rehearsing = False

    def _announcer(self, master: Master, leadership: Leadership) -> Announcer:
        return MemoryAnnouncer(self.carrier)

    def _beat(self) -> Beat | None:
        epoch = self.master.epoch
        return None if epoch is None else Beat(epoch, self.master.head, self.address)

    async def _befall(self, batch: Batch) -> Any:
        return self._world.befall(self.process, batch)

    async def _member_beat(self) -> None:
        await self.session.head()  # takes as long, and fails when the database is away

    async def _stream_epoch(self) -> int:
        carrying = self._world.carrying
        return 0 if carrying.is_down else carrying.highest_epoch

    def _carrier_faults(self) -> Faults | None:
        carrying, random = self._world.carrying, self._world.random
        return Faults(random, carrying.drop, carrying.delay, carrying.repeat, carrying.lose_tail)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._world.random.getrandbits(128)))

    def _event_id(self) -> str:
        return f"${self._world.random.getrandbits(64):x}:{self._server_name}"

    def _failed(self, error: Exception) -> None:
        self._world.violation(f"{self.process.name} can never lead: {error!r}")


def _ends(step: Callable[[], object]) -> bool:
    try:
        step()
    except Exception:
        return False
    except Ended:
        return True
    return False
