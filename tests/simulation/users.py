"""Users of a world: each wants one thing after the other, repeats what was not answered, and syncs by its token.

A request goes to any worker. What is repeated goes under the same key, sometimes through two workers at once, and
sometimes though it was answered. What a sync says is kept as a client keeps it: when the answer goes back across a lost
history, what was seen beyond is dropped.
"""

from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, AppendedEvents, RoomCreated
from hs_common.replication.clock import pause
from hs_master.pipeline.writer import ENDS_THE_MASTER
from tests.simulation.intents import Room, Wishes
from tests.simulation.mirror import News
from tests.simulation.requests import Asked, Requests, Told
from tests.simulation.surroundings import Surroundings
from tests.simulation.workers import SyncAnswer, WorkerProcess

REQUEST_LIMIT_S = 10.0
TRIES_LIMIT = 40

Work = Callable[[WorkerProcess], Coroutine[Any, Any, Any]]


class Door:
    """How users reach workers. Answers None where a connection broke before there was an answer."""

    def __init__(self, world: Surroundings, requests: Requests, workers: Callable[[], Sequence[WorkerProcess]]) -> None:
        self._world = world
        self._requests = requests
        self._workers = workers

    async def request(self, work: Work, what: str) -> Any:
        """Have some worker do something. Raises the MatrixError that it answers with."""
        world = self._world
        workers = self._workers()
        if not workers:
            await pause(world.clock, 0.1)
            return None
        worker = world.random.choice(workers)
        answer: Deferred[Any] = Deferred()
        worker.under_way.append(answer)
        began, stood_still = world.clock.now, worker.process.frozen_seconds
        world.clock.call_in(worker.process, world.latency(), self._begin, (work, worker, answer))
        watch = world.clock.callLater(3 * REQUEST_LIMIT_S, answer.callback, None)
        try:
            return await answer
        finally:
            worker.under_way.remove(answer)
            if watch.active():
                watch.cancel()
            took = world.clock.now - began - (worker.process.frozen_seconds - stood_still)
            self._requests.longest_s = max(self._requests.longest_s, took)
            if took > REQUEST_LIMIT_S:
                self._requests.too_long.append(f"{what} through {worker.process.name} took {took:.1f} s")

    def _begin(self, work: Work, worker: WorkerProcess, answer: "Deferred[Any]") -> None:
        doing = Deferred.fromCoroutine(work(worker))
        doing.addBoth(lambda outcome: None if answer.called else answer.callback(outcome))


class User:
    """One user with one device. `seen`: everything that its syncs have said and not taken back."""

    def __init__(
        self, world: Surroundings, door: Door, requests: Requests, user_id: str, wishes: Wishes, rooms: list[Room]
    ) -> None:
        self.user_id = user_id
        self.token = 0
        self.seen: list[News] = []
        self.is_idle = False
        self._world = world
        self._random: Random = world.random
        self._door = door
        self._requests = requests
        self.wishes = wishes
        self._rooms = rooms
        self._own_pos = 0  # of the last answer, which the next sync must show

    async def live(self, pause_s: float, until: Callable[[], bool]) -> None:
        """Want things until told to stop, and end what was begun."""
        while not until():
            await pause(self._world.clock, self._random.expovariate(1.0) * pause_s)
            await self.want(self.wishes.next())
            if self._random.random() < 0.4:
                await self.sync()
        self.is_idle = True

    async def want(self, asked: Asked) -> None:
        """Ask until there is a final answer; without a key only once."""
        self._requests.asked.append(asked)
        for number in range(TRIES_LIMIT):
            if asked.key is not None and self._random.random() < 0.05:
                Deferred.fromCoroutine(self._try(asked))  # twice at once
            if await self._try(asked):
                if asked.key is not None and self._random.random() < 0.05:
                    await self._try(asked)
                return
            if asked.key is None:
                return
            await pause(self._world.clock, self._random.uniform(0.1, 0.5) * (1 + number / 4))
        self._world.violation(f"{asked.mark} was never answered in {TRIES_LIMIT} tries")

    async def _try(self, asked: Asked) -> bool:
        """Whether there is a final answer."""
        asked.tries += 1
        try:
            answer = await self._door.request(lambda worker: worker.link.call(asked.call, asked.key), asked.mark)
        except MatrixError as error:
            return self._refused(asked, error)
        if answer is None:
            return False
        assert isinstance(answer, Answer), "calls are answered by answers"
        asked.told.append(Told(answer, self._world.database.lost_tails))
        self._own_pos = answer.pos
        self._learn(answer, asked)
        return True

    def _refused(self, asked: Asked, error: MatrixError) -> bool:
        if asked.is_fatal and error.error == ENDS_THE_MASTER:
            self._world.counts["fatal calls refused"] += 1
            return True
        if error.status == 500:
            self._world.violation(f"{asked.mark} was answered 500: {error.error}")
        if error.status >= 500 or error.status == 429:
            self._world.counts[f"answers {error.status}"] += 1
            return False
        self._world.counts["refusals"] += 1
        if error.error.startswith("This server does not know the room") and not self._world.database.lost_tails:
            self._world.violation(f"{asked.mark} was told that its room does not exist")
        if error.status != 409:
            asked.told.append(Told(error, self._world.database.lost_tails))
        return True

    def _learn(self, answer: Answer, asked: Asked) -> None:
        if isinstance(answer, RoomCreated):
            if all(room.room_id != answer.room_id for room in self._rooms):
                self._rooms.append(Room(answer.room_id, list(answer.event_ids)))
        elif isinstance(answer, AppendedEvents):
            for room in self._rooms:
                if room.room_id == asked.call.intents[0].room_id:  # type: ignore[attr-defined]
                    room.event_ids.append(answer.event_ids[0])

    async def sync(self) -> bool:
        """One sync; whether it was answered."""
        asked_with, must_show = self.token, self._own_pos
        try:
            answer = await self._door.request(lambda worker: worker.sync(asked_with), f"sync of {self.user_id}")
        except MatrixError:
            return False
        if answer is None:
            return False
        assert isinstance(answer, SyncAnswer), "a sync is answered by a sync answer"
        self._take(answer, must_show)
        return True

    def _take(self, answer: SyncAnswer, must_show: int) -> None:
        database = self._world.database
        if answer.since < self.token:
            if database.holds(self.token):
                self._world.violation(f"the token {self.token} of {self.user_id} went back to {answer.since}")
            self.seen = [one for one in self.seen if one[0] <= answer.since]
        if answer.next_batch < answer.since:
            self._world.violation(f"a sync of {self.user_id} since {answer.since} answered {answer.next_batch}")
        if answer.next_batch < must_show and database.holds(must_show):
            self._world.violation(f"{self.user_id} does not see its own write at {must_show}: {answer.next_batch}")
        self.seen += answer.news
        self.token = answer.next_batch
