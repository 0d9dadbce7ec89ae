"""What every process of a world stands in: time, chance, network, database, and what carries the log.

Must not know masters, workers, clients or faults.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from hs_common.replication.carrier_memory import MemoryCarrier
from hs_master.log_store.memory import Fault
from hs_master.log_store.types import Batch
from tests.simulation.clock import Process, VirtualClock
from tests.simulation.database import SimulatedLog
from tests.simulation.network import Network

_LATENCY_S = 0.001
_SLOW_S = 0.05  # one in a hundred


@dataclass
class CarrierFaults:
    """What befalls entries on their way: chances, and what a world does to all of them at once."""

    drop: float = 0.0
    delay: float = 0.0
    repeat: float = 0.0
    lose_tail: float = 0.0
    is_down: bool = False
    loses_entries: bool = False  # but carries beats
    highest_epoch: int = 0  # what the top of a stream would show


Befall = Callable[[Process, Batch], Fault]
"""Chooses what befalls a commit of a process; may freeze it."""


def nothing_befalls(process: Process, batch: Batch) -> Fault:
    return Fault.NONE


def nothing_follows(process: Process) -> None:
    return None


@dataclass
class Surroundings:
    """See the module. `graveyard` keeps all that ever ran, so that nothing is finalised before the world has ended."""

    seed: int
    random: Random = field(init=False)
    clock: VirtualClock = field(default_factory=VirtualClock)
    carrying: CarrierFaults = field(default_factory=CarrierFaults)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    carriers: list[tuple[Process, MemoryCarrier]] = field(default_factory=list)
    graveyard: list[object] = field(default_factory=list)
    befall: Befall = nothing_befalls
    ended: Callable[[Process], None] = nothing_follows  # a process ended by itself
    slowness: float = 1.0
    wall_jump_ms: int = 0
    make_database: Callable[[VirtualClock, Random], SimulatedLog] = SimulatedLog

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.database = self.make_database(self.clock, self.random)
        self.network = Network(self.clock, self.random, self.latency)

    def latency(self) -> float:
        """Seconds that the next message takes."""
        drawn = self.random.random()
        if drawn < 0.01:
            return _SLOW_S * self.slowness
        return _LATENCY_S * (0.5 + drawn) * self.slowness

    def now_ms(self) -> int:
        """The wall clock of all machines but the database's."""
        return 1_700_000_000_000 + int(self.clock.now * 1000) + self.wall_jump_ms

    def random_bytes(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def violation(self, text: str) -> None:
        self.violations.append(f"at {self.clock.now:.3f} s: {text}")
