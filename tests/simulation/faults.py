"""What goes wrong in a world, and when: drawn from the seed.

Each world draws first which kinds of faults it knows at all and how often they come: worlds with few kinds go deeper
into one of them than worlds in which everything breaks at once. A clock that is set back and a history that is lost
never come together: positions are kept apart by the database's clock, which must then have gone on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from hs_master.log_store.memory import Fault
from hs_master.log_store.types import Batch
from tests.simulation.clock import Process
from tests.simulation.places import MasterPlace, WorkerPlace
from tests.simulation.surroundings import Surroundings

KINDS: Final = (
    "freeze", "hang", "kill", "hand over", "kill worker", "freeze worker", "carrier down", "deaf", "part", "cut",
    "restart database", "fail over", "slow", "prune", "jump", "commit", "entries",
)  # fmt: skip
_HOUR_S: Final = 3600.0


@dataclass
class Profile:
    """Which kinds of faults a world knows, how often one comes, for how long they go on."""

    kinds: list[str]
    mean_gap_s: float
    seconds: float
    commit_chances: dict[Fault, float] = field(default_factory=dict)
    crash_chance: float = 0.0
    nap_chance: float = 0.0


def draw_profile(world: Surroundings) -> Profile:
    """What kind of world a seed makes."""
    random = world.random
    kinds = [kind for kind in KINDS if random.random() < random.choice((0.2, 0.5))]
    if "jump" in kinds and "fail over" in kinds:
        kinds.remove(random.choice(("jump", "fail over")))
    profile = Profile(kinds, random.uniform(0.3, 1.2), random.uniform(3.0, 10.0))
    if "commit" in kinds:
        for fault in (Fault.LOSE_REQUEST, Fault.DELAY_REQUEST, Fault.LOSE_REPLY):
            profile.commit_chances[fault] = random.choice((0.0, 0.03, 0.15))
        profile.crash_chance = random.choice((0.0, 0.02))
        profile.nap_chance = random.choice((0.0, 0.02))
    if "entries" in kinds:
        carrying = world.carrying
        carrying.drop, carrying.delay, carrying.repeat = (random.choice((0.0, 0.05, 0.3)) for _ in range(3))
        carrying.lose_tail = random.choice((0.0, 0.05))
    return profile


class Misfortune:
    """Makes faults happen until it is ended; `end` mends what can be mended."""

    def __init__(
        self, world: Surroundings, profile: Profile, masters: Sequence[MasterPlace], workers: Sequence[WorkerPlace]
    ) -> None:
        self._world = world
        self._random = world.random
        self._profile = profile
        self._masters = masters
        self._workers = workers
        self._ended = False
        self._hanging: Process | None = None  # for good
        self._acts: dict[str, Callable[[], None]] = {
            "freeze": lambda: self._freeze_master(self._random.uniform(0.05, 2.0)),
            "hang": lambda: self._freeze_master(self._random.uniform(4.0, 9.0)),
            "kill": self._kill_master,
            "hand over": self._hand_over,
            "kill worker": self._kill_worker,
            "freeze worker": self._freeze_worker,
            "carrier down": self._carrier_down,
            "deaf": self._deafen,
            "part": self._part,
            "cut": self._cut,
            "restart database": self._restart_database,
            "fail over": self._fail_over,
            "slow": self._slow,
            "prune": lambda: world.database.forget_entries(self._random.randrange(1, 10)),
            "jump": self._jump,
        }

    def start(self) -> None:
        self._world.befall = self._befall
        self._next()

    def end(self) -> None:
        """Everything works from now on; a hung master may stay as it is, since others can lead."""
        self._ended = True
        world = self._world
        for master in self._masters:
            if master.running is None:
                master.start()
            else:
                self._thaw(master.running.process)
        if "hang" in self._profile.kinds and self._random.random() < 0.5:
            self._hang_for_good()
        for worker in self._workers:
            worker.start()
            assert worker.running is not None, "it was just started"
            worker.running.process.thaw()
            worker.running.ear.is_deaf = False
        for connection in world.network.connections:
            connection.is_parted = False
        world.database.away = world.carrying.is_down = False
        world.slowness = 1.0
        for _, carrier in world.carriers:
            carrier.faults = None

    def _hang_for_good(self) -> None:
        """The leader, if there is one: the others have to do without it."""
        for master in self._masters:
            if master.running is not None and master.running.master.epoch is not None:
                self._hanging = master.running.process
                self._hanging.freeze()
                return  # one only: another may still believe that it leads

    def _thaw(self, process: Process) -> None:
        if process is not self._hanging:
            process.thaw()

    # --- when ---

    def _next(self) -> None:
        kinds = [kind for kind in self._profile.kinds if kind in self._acts]
        if self._ended or not kinds:
            return
        kind = self._random.choice(kinds)
        self._world.counts[kind] += 1
        self._acts[kind]()
        self._later(self._random.expovariate(1.0) * self._profile.mean_gap_s, self._next)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._world.clock.callLater(seconds, call)

    def _mend_later(self, longest_s: float, mend: Callable[[], None]) -> None:
        self._later(self._random.uniform(0.05, longest_s), lambda: None if self._ended else mend())

    def _befall(self, process: Process, batch: Batch) -> Fault:
        if self._ended:
            return Fault.NONE
        drawn = self._random.random()
        for fault, chance in self._profile.commit_chances.items():
            if drawn < chance:
                self._world.counts[f"commit: {fault.name}"] += 1
                return fault
            drawn -= chance
        if drawn < self._profile.crash_chance:
            self._world.counts["crashed in a commit"] += 1
            return self._crash(process)
        if self._random.random() < self._profile.nap_chance:
            self._world.counts["slept in a commit"] += 1
            process.freeze()
            self._later(self._random.uniform(0.05, 8.0), partial(self._thaw, process))
        return Fault.NONE

    def _crash(self, process: Process) -> Fault:
        before = self._random.random() < 0.5
        for place in self._masters:
            if place.running is not None and place.running.process is process:
                self._later(0.0, place.kill)
                self._mend_later(3.0, place.start)
        return Fault.LOSE_REQUEST if before else Fault.LOSE_REPLY

    # --- what ---

    def _freeze_master(self, seconds: float) -> None:
        place = self._random.choice(self._masters)
        if place.running is not None:
            place.running.process.freeze()
            self._later(seconds, partial(self._thaw, place.running.process))

    def _kill_master(self) -> None:
        place = self._random.choice(self._masters)
        place.kill()
        self._mend_later(3.0, place.start)

    def _hand_over(self) -> None:
        place = self._random.choice(self._masters)
        place.hand_over()
        self._mend_later(3.0, place.start)

    def _kill_worker(self) -> None:
        place = self._random.choice(self._workers)
        place.kill()
        self._mend_later(2.0, place.start)

    def _freeze_worker(self) -> None:
        place = self._random.choice(self._workers)
        if place.running is not None:
            place.running.process.freeze()
            self._later(self._random.uniform(0.05, 4.0), place.running.process.thaw)

    def _carrier_down(self) -> None:
        carrying = self._world.carrying
        carrying.is_down = True
        self._mend_later(5.0, lambda: setattr(carrying, "is_down", False))

    def _deafen(self) -> None:
        place = self._random.choice(self._workers)
        if place.running is not None:
            ear = place.running.ear
            ear.is_deaf = True
            self._mend_later(5.0, lambda: setattr(ear, "is_deaf", False))

    def _part(self) -> None:
        connections = [connection for connection in self._world.network.connections if connection.is_open]
        if connections:
            connection = self._random.choice(connections)
            connection.is_parted = True
            self._mend_later(5.0, lambda: setattr(connection, "is_parted", False))

    def _cut(self) -> None:
        connections = [connection for connection in self._world.network.connections if connection.is_open]
        if connections:
            self._random.choice(connections).cut()

    def _restart_database(self) -> None:
        database = self._world.database
        database.end_all_sessions()
        database.away = True
        self._mend_later(2.0, lambda: setattr(database, "away", False))

    def _fail_over(self) -> None:
        self._world.database.fail_over(self._random.randrange(1, 12))
        self._restart_database()

    def _slow(self) -> None:
        self._world.slowness = self._random.choice((10.0, 50.0))
        self._mend_later(2.0, lambda: setattr(self._world, "slowness", 1.0))

    def _jump(self) -> None:
        jump_s = self._random.choice((-_HOUR_S, 0.0, _HOUR_S))
        if self._random.random() < 0.5:
            self._world.database.jump_s = max(0.0, jump_s)  # the world is not an hour old
        else:
            self._world.wall_jump_ms = int(jump_s * 1000)
