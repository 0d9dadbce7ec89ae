"""One world from its seed to its end: it starts, faults come, they end, it recovers, and then it is quiet.

In the quiet at the end nobody writes, and the carriers have just lost the last entries or are down altogether: each
follower has to reach the head by itself (invariant 6).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher

from tests.simulation.clock import Process
from tests.simulation.faults import Misfortune, draw_profile
from tests.simulation.intents import Room, Wishes
from tests.simulation.masters import Ended
from tests.simulation.places import MasterPlace, WorkerPlace
from tests.simulation.requests import Requests
from tests.simulation.surroundings import Surroundings
from tests.simulation.users import Door, User
from tests.simulation.workers import WorkerProcess

RECOVERY_LIMIT_S: Final = 20.0  # a hung leader is dethroned (5 s), calls and their repetitions end (8 s and pauses)
FATAL_EACH: Final = 4  # in one of so many worlds a user asks for what no master survives
RESTART_S: Final = 0.5  # until the supervisor has started another in place of a process that ended
QUIET_S: Final = 3.0  # invariant 6


class World:
    """See the module. After `run`, everything that the checkers look at is here."""

    def __init__(self, seed: int) -> None:
        self.surroundings = world = Surroundings(seed)
        self.random = world.random
        self.database = world.database
        self.profile = draw_profile(world)
        self.requests = Requests()
        self.rooms: list[Room] = []
        self.workers = [WorkerPlace(world, f"worker {number}") for number in range(self.random.choice((2, 3)))]
        self.masters = [
            MasterPlace(world, f"master:{number}", self.workers) for number in range(self.random.choice((2, 3)))
        ]
        user_ids = [f"@user{number}:test" for number in range(self.random.choice((2, 4, 6)))]
        door = Door(world, self.requests, self.running_workers)
        self.users = [
            User(world, door, self.requests, user_id, Wishes(self.random, user_id, user_ids, self.rooms), self.rooms)
            for user_id in user_ids
        ]
        if seed % FATAL_EACH == 0:
            self.users[0].wishes.fatal_after = 3
        world.ended = self._ended
        self._ending = False

    def running_workers(self) -> list[WorkerProcess]:
        return [place.running for place in self.workers if place.running is not None]

    def run(self) -> None:
        """The whole life of the world. What went wrong is in `surroundings.violations`."""
        with failures_noted(self.surroundings.violation):
            for worker in self.workers:
                worker.start()
            for master in self.masters:
                master.start()
            self._live_until(self.surroundings.clock.now)  # the first turn of each
            misfortune = Misfortune(self.surroundings, self.profile, self.masters, self.workers)
            misfortune.start()
            self._start_users()
            self._live_until(self.surroundings.clock.now + self.profile.seconds)
            misfortune.end()
            self._ending = True
            self._recover()
            self._be_quiet()

    @property
    def fingerprint(self) -> str:
        """Equal for equal runs."""
        digest = sha256()
        for written in self.database.history:
            digest.update(f"{written.batch.epoch} {written.batch.pos} {written.lost}".encode() + written.batch.body)
        digest.update(f"{self.surroundings.clock.calls} {self.random.random()}".encode())
        return digest.hexdigest()

    def _ended(self, process: Process) -> None:
        """A master ended by itself, in the middle of what it did."""
        for place in self.masters:
            if place.running is not None and place.running.process is process:
                self.surroundings.counts["masters ended by a call"] += 1
                place.kill()
                self.surroundings.clock.callLater(RESTART_S, place.start)

    def _start_users(self) -> None:
        pause_s = self.random.choice((0.2, 0.5, 1.0))
        for user in self.users:
            self._watch(user.live(pause_s, lambda: self._ending))

    def _recover(self) -> None:
        limit = self.surroundings.clock.now + RECOVERY_LIMIT_S
        while not all(user.is_idle for user in self.users):
            if self.surroundings.clock.now > limit:
                waiting = [user.user_id for user in self.users if not user.is_idle]
                self.surroundings.violation(f"{RECOVERY_LIMIT_S} s after the faults {waiting} still wait for answers")
                return
            self._live_until(self.surroundings.clock.now + 0.5)

    def _be_quiet(self) -> None:
        """The last writes are lost on their way to the followers; users sync when these have had their time."""
        carrying = self.surroundings.carrying
        if self.random.random() < 0.5:
            carrying.loses_entries = True
        else:
            carrying.is_down = True
        for user in self.users[:2]:
            user.is_idle = False
            self._watch(self._last_words(user))
        self._recover()
        self._live_until(self.surroundings.clock.now + QUIET_S)

    async def _last_words(self, user: User) -> None:
        await user.want(user.wishes.new_room() if not self.rooms else user.wishes.message())
        user.is_idle = True

    def sync_all(self) -> None:
        """Every user syncs to the end; after the checks of what followers know by themselves."""
        for user in self.users:
            self._watch(self._sync_to_the_end(user))
        self._live_until(self.surroundings.clock.now + 2.0)

    async def _sync_to_the_end(self, user: User) -> None:
        while not (await user.sync() and user.token == self.database.head):
            if self.surroundings.clock.now > 1e6:
                return

    def _live_until(self, time: float) -> None:
        self.surroundings.clock.run_until(time)

    def _watch(self, coroutine: Any) -> None:
        watched = Deferred.fromCoroutine(coroutine)
        watched.addErrback(lambda failure: self.surroundings.violation(f"a user failed: {failure.getTraceback()}"))


@contextmanager
def failures_noted(violation: Callable[[str], None]) -> Iterator[None]:
    """Whatever the code logs as a failure of its own is a violation: nothing else may be logged so."""

    def note(event: Any) -> None:
        if event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            if failure is not None and failure.check(Ended):
                return  # of the dead
            text = failure.getTraceback() if failure is not None else event.get("log_format")
            violation(f"a failure was logged: {text}")

    observer: Any = note
    globalLogPublisher.addObserver(observer)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observer)
