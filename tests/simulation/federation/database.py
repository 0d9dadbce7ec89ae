"""The database of one server that federates. Its statements: see `statements.py`."""

from random import Random
from typing import Final

from tests.simulation.clock import VirtualClock
from tests.simulation.database import SimulatedLog
from tests.simulation.federation.tables import FederationTables, ShareRow, WorkerTables

SHARDS: Final = 4
"""Of each duty: enough to share them out, and few to look at."""
DUTIES: Final = ("inbound", "federation-sender", "device lists")


class FederationDatabase(SimulatedLog):
    """The master's tables by its log, and the workers'."""

    tables: FederationTables

    def __init__(self, clock: VirtualClock, random: Random) -> None:
        super().__init__(clock, random, FederationTables)
        self.clock = clock
        self.workers = WorkerTables()
        self.workers.clean_to = dict.fromkeys(range(SHARDS), (0, 0))
        self.workers.shares = {duty: {shard: ShareRow() for shard in range(SHARDS)} for duty in DUTIES}
