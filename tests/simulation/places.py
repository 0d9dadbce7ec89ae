"""Where processes run: one after the other at one place, as a supervisor has it."""

from twisted.internet.defer import Deferred

from tests.simulation.masters import MasterProcess
from tests.simulation.surroundings import Surroundings
from tests.simulation.workers import WorkerProcess


class WorkerPlace:
    """A worker's."""

    def __init__(self, world: Surroundings, name: str) -> None:
        self.running: WorkerProcess | None = None
        self._world = world
        self._name = name

    def start(self) -> None:
        if self.running is None:
            self.running = WorkerProcess(self._world, self._name)
            self._world.graveyard.append(self.running)
            self.running.start()

    def kill(self) -> None:
        running, self.running = self.running, None
        if running is not None:
            running.kill()


class MasterPlace:
    """A master's, at its address. `workers`: all places of workers, whose followers hear what it announces."""

    def __init__(self, world: Surroundings, address: str, workers: list[WorkerPlace]) -> None:
        self.running: MasterProcess | None = None
        self._world = world
        self._address = address
        self._workers = workers

    def start(self) -> None:
        if self.running is None:
            self.running = MasterProcess(self._world, self._address)
            self._world.graveyard.append(self.running)
            self.running.start([place.running.ear for place in self._workers if place.running is not None])

    def kill(self) -> None:
        running, self.running = self.running, None
        if running is not None:
            running.kill()

    def hand_over(self) -> None:
        """A clean end, if the process can still do that."""
        running = self.running
        if running is not None and not running.process.is_frozen:
            self.running = None
            Deferred.fromCoroutine(running.hand_over())
