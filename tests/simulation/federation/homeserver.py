"""One homeserver of a world: its database, its master, a process for other servers and users, one or two that send."""

from bisect import bisect_left

from hs_common.matrix.identifiers import domain_of
from hs_master.log_store.memory import Fault
from hs_master.log_store.types import Batch
from tests.simulation.clock import Process, VirtualClock
from tests.simulation.federation.database import FederationDatabase
from tests.simulation.federation.processes import Inbound, Sender, Site, WorkerLife
from tests.simulation.federation.reads import FederationReads
from tests.simulation.federation.tables import FederationTables
from tests.simulation.federation.typists import Typists
from tests.simulation.federation.wire import Wire
from tests.simulation.masters import MasterProcess
from tests.simulation.surroundings import Surroundings


class Homeserver:
    """`start_*` and `kill_*` may come at any time; what runs already is left alone."""

    def __init__(self, seed: int, clock: VirtualClock, wire: Wire, name: str, senders: int) -> None:
        self.name = name
        self.world = Surroundings(seed, clock=clock, make_database=FederationDatabase)
        self.world.befall = self._befall
        self.commit_fault_chance = 0.0
        self.site = Site(self.world, wire, name)
        self.site.master = lambda: self.master
        self.site.senders = lambda: [sender.id for sender in self.senders if sender is not None]
        self.master: MasterProcess | None = None
        self.inbound: Inbound | None = None
        self.senders: list[Sender | None] = [None] * senders
        assert isinstance(self.world.database, FederationDatabase)
        self.database = self.world.database
        self.database.on_commit = self._committed
        self._commits: list[tuple[int, float]] = []  # (position, when)
        self._typists = Typists(self)
        self.users = [f"@user{number}:{name}" for number in range(2)]
        self.database.workers.users.update(self.users)

    @property
    def tables(self) -> FederationTables:
        return self.database.tables

    def start(self) -> None:
        self.start_master()
        self.start_inbound()
        for number in range(len(self.senders)):
            self.start_sender(number)

    def kill(self) -> None:
        self.kill_inbound()
        for number in range(len(self.senders)):
            self.kill_sender(number)
        self.kill_master()

    def start_master(self) -> None:
        if self.master is None:
            self.master = MasterProcess(self.world, "master", self.name, self.site.key, FederationReads)
            self.world.graveyard.append(self.master)
            self.master.start([worker.ear for worker in self._workers()])
            for worker in self._workers():
                self.master.carrier.listen(worker.hear)
            self.master.carrier.listen(lambda counter, body: self._typists.told(body))

    def kill_master(self) -> None:
        if self.master is not None:
            self.master.kill()
            self.master = None

    def start_inbound(self) -> None:
        if self.inbound is None:
            self.inbound = Inbound(self.site)
            self.world.graveyard.append(self.inbound)
            self.inbound.start()

    def kill_inbound(self) -> None:
        if self.inbound is not None:
            self.inbound.kill()
            self.inbound = None

    def start_sender(self, number: int) -> None:
        if self.senders[number] is None:
            self.senders[number] = sender = Sender(self.site)
            self.world.graveyard.append(sender)
            sender.start()

    def kill_sender(self, number: int) -> None:
        sender = self.senders[number]
        if sender is not None:
            sender.kill()
            self.senders[number] = None

    def committed_at(self, pos: int) -> float:
        """When the position was committed."""
        return self._commits[bisect_left(self._commits, (pos, 0.0))][1]

    def _committed(self, batch: Batch) -> None:
        self._commits.append((batch.pos, self.world.clock.now))

    def orphaned_duties(self) -> list[str]:
        """Duties of which somebody has a share who lives no more, or nobody."""
        living = {"federation-sender": set(self.site.senders()), "inbound": {worker.id for worker in self._inbounds()}}
        shares = self.database.workers.shares
        return [one for one, ids in living.items() if not {row.holder for row in shares[one].values()} <= ids]

    def membership(self, room_id: str, user_id: str) -> str | None:
        """Of a user of this server, as it knows."""
        span = self.tables.membership_now(room_id, user_id)
        return None if span is None else str(span.values[0])

    def is_in(self, room_id: str) -> bool:
        return self.name in self.tables.servers_now(room_id)

    def is_with(self, other: "Homeserver", room_id: str) -> bool:
        """Both are in the room, and know of both. Who has left by one branch and stays by another is told nothing any
        more, and cannot be: a server sends to those that are in the room by the state that it knows."""
        both = {self.name, other.name}
        return all(both.issubset(home.tables.servers_now(room_id)) for home in (self, other))

    def is_kept_from(self, other: "Homeserver", room_id: str) -> bool:
        """One of them is not to take part in the room, by the access control list that either has."""
        return any(home.tables.denies(one.name, room_id) for home in (self, other) for one in (self, other))

    def members(self, room_id: str, membership: str = "join") -> list[str]:
        """Of the room, as this server has it."""
        rows = self.tables.current_rows(room_id)
        return [key[1] for key, row in rows if key[0] == "m.room.member" and row.membership == membership]

    def is_ours(self, user_id: str) -> bool:
        return domain_of(user_id) == self.name

    def _inbounds(self) -> list[Inbound]:
        return [] if self.inbound is None else [self.inbound]

    def _workers(self) -> list[WorkerLife]:
        return [worker for worker in (self.inbound, *self.senders) if worker is not None]

    def _befall(self, process: Process, batch: Batch) -> Fault:
        """Now and then a master dies as it commits: before, or after."""
        if self.world.random.random() >= self.commit_fault_chance:
            return Fault.NONE
        self.world.counts["died in a commit"] += 1
        self.world.clock.callLater(0.0, self.kill_master)
        self.world.clock.callLater(self.world.random.uniform(0.5, 5.0), self.start_master)
        return self.world.random.choice((Fault.LOSE_REQUEST, Fault.LOSE_REPLY))
