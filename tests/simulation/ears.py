"""What carries the log from every master to one worker: a carrier in memory each, with what befalls a Redis."""

from collections.abc import Sequence

from hs_common.replication.carrier import Beat, Position, Receiver
from hs_common.replication.entry import Entry
from tests.simulation.clock import Process
from tests.simulation.surroundings import Surroundings


class Ear:
    """The follower's end of every master's carrier, which may be down, or parted from this worker alone."""

    def __init__(self, world: Surroundings, process: Process) -> None:
        self.is_deaf = False
        self.follower: Receiver | None = None
        self.process = process
        self._world = world

    def receive(self, entries: Sequence[Entry], beat: Beat | None) -> None:
        world, carrying = self._world, self._world.carrying
        if carrying.is_down:
            return
        for entry in entries:
            carrying.highest_epoch = max(carrying.highest_epoch, entry.epoch)
        if self.follower is None or self.is_deaf or not self.process.is_alive:
            return
        if carrying.loses_entries:
            entries = []
        if entries or beat is not None:
            world.clock.call_in(self.process, 0, self.follower.receive, (entries, beat))

    def someone_waits(self) -> bool:
        return self.follower is not None and self.follower.someone_waits()


class Ears:
    """The follower's `Carrier`: opens the ear that all masters' carriers speak to."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear

    def start(self, receiver: Receiver, after: Position) -> None:
        self._ear.follower = receiver

    def hurry(self) -> None:
        """Nothing here ever pauses."""

    async def stop(self) -> None:
        """A worker here only ever dies."""
