"""The pushers that something waits for, each with a task of its own that works off its queue, one thing at a time.

A task ends when nothing waits any more; the next thing starts another. Tasks of shards that another worker takes end
after what they are just doing: what left is not broken off, and what did not leave stays in the queue.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger

from hs_common.process.alarm import Alarm
from hs_common.process.shares import shard_of
from hs_common.replication.clock import Clock, pause
from hs_common.storage.push_queue import PushState
from hs_common.storage.pushers import Pusher
from hs_common.storage.queries import DatabaseError

FINISH_LIMIT_S = 5.0
"""A gateway that is just answering should not get the same again; one that hangs holds up nobody."""
DATABASE_RETRY_S = 1.0
FAILURE_RETRY_S = 60.0
"""After a mistake of ours, or when the master does not answer."""
FENCE_LOOK_S = 0.5
IDLE_S = 30.0
"""How long a task is kept when nothing waits: people write more than one message."""

_log = Logger()


class Lost(Exception):
    """Another worker holds the shard."""


class Work(Protocol):
    """Works off one pusher's queue."""

    async def step(self, task: "Task") -> bool:
        """One thing; False: nothing waits. Raises Lost."""


class Task:
    """The work for one pusher while this process holds its shard. `term` is the share's."""

    def __init__(self, pusher: Pusher, term: int, clock: Clock) -> None:
        self.pusher = pusher
        self.shard = shard_of(pusher.user_id)
        self.term = term
        self.news = Alarm(clock)
        self.is_ending = False
        # Something that left is not answered yet, or not noted as pushed.
        self.is_away = False
        self.state: PushState | None = None  # None: not read yet
        self.running: Deferred[None] | None = None

    def end(self) -> None:
        """Begin nothing any more."""
        self.is_ending = True
        if not self.is_away and self.running is not None:
            self.running.cancel()


class Senders:
    """`may_start`: whether the shares surely are still this worker's; `works`: by kinds of pushers."""

    def __init__(self, clock: Clock, may_start: Callable[[], bool], works: dict[str, Work]) -> None:
        self._clock = clock
        self._may_start = may_start
        self._works = works
        self._tasks: dict[int, Task] = {}
        self._ending: set[Task] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def tasks(self) -> list[Task]:
        """Those that are at work or were lately."""
        return list(self._tasks.values())

    def wake(self, pusher: Pusher, term: int) -> None:
        """Something waits for the pusher."""
        task = self._tasks.get(pusher.pusher_id)
        if task is not None and task.term == term:
            task.news.ring()
        elif pusher.kind in self._works:
            if task is not None:
                self._end(task)
            self._start(Task(pusher, term, self._clock))

    def changed(self, pusher: Pusher) -> None:
        """The pusher is set anew: what waits goes to where it is now, at once."""
        task = self._tasks.get(pusher.pusher_id)
        if task is not None and task.pusher != pusher:
            self._end(task)
            self.wake(pusher, task.term)

    def forget(self, pusher_ids: Collection[int]) -> None:
        """These pushers are gone."""
        for pusher_id in pusher_ids:
            if pusher_id in self._tasks:
                self._end(self._tasks[pusher_id])

    def lose(self, shards: Collection[int]) -> None:
        """Other workers have these shards."""
        for task in [task for task in self._tasks.values() if task.shard in shards]:
            self._end(task)

    async def finish(self, shards: Collection[int]) -> None:
        """As `lose`, and waits for what is under way."""
        self.lose(shards)
        ending = [task for task in self._ending if task.shard in shards]
        await gatherResults([_ended(task, self._clock) for task in ending], consumeErrors=True)

    def abandon(self) -> None:
        """Stop as if the process had died."""
        for task in [*self._tasks.values(), *self._ending]:
            if task.running is not None:
                task.running.cancel()

    def _start(self, task: Task) -> None:
        self._tasks[task.pusher.pusher_id] = task
        task.running = Deferred.fromCoroutine(self._run(task))
        task.running.addErrback(lambda failure: failure.trap(CancelledError))
        task.running.addBoth(lambda _: self._over(task))

    def _end(self, task: Task) -> None:
        if self._tasks.get(task.pusher.pusher_id) is task:
            del self._tasks[task.pusher.pusher_id]
        self._ending.add(task)
        task.end()
        if task.running is not None and task.running.called:
            self._ending.discard(task)

    def _over(self, task: Task) -> None:
        self._ending.discard(task)
        if self._tasks.get(task.pusher.pusher_id) is task:
            del self._tasks[task.pusher.pusher_id]

    async def _run(self, task: Task) -> None:
        before = [other.running for other in self._ending if other.pusher.pusher_id == task.pusher.pusher_id]
        for running in before:  # what is under way for an earlier task of the pusher comes first
            if running is not None and not running.called:
                await _quietly(running)
        while not task.is_ending:
            try:
                if not self._may_start():
                    await task.news.wait(FENCE_LOOK_S)
                elif not await self._worked(task) and not await task.news.wait(IDLE_S):
                    return
            except Lost:
                _log.info("another worker pushes for {user}", user=task.pusher.user_id)
                return
            except CancelledError:
                raise
            except Exception:
                _log.failure("pushing for {user} failed, trying again", user=task.pusher.user_id)
                await pause(self._clock, FAILURE_RETRY_S)

    async def _worked(self, task: Task) -> bool:
        """Whether there was something, and so may be more."""
        try:
            return await self._works[task.pusher.kind].step(task)
        except DatabaseError as error:
            _log.warn("pushing has to wait for the database: {error}", error=error)
        await pause(self._clock, DATABASE_RETRY_S)
        return True


async def _quietly(running: Deferred[None]) -> None:
    finished: Deferred[None] = Deferred()

    def over(result: object) -> object:
        finished.callback(None)
        return result

    running.addBoth(over)
    await finished


def _ended(task: Task, clock: Clock) -> Deferred[None]:
    async def wait() -> None:
        running = task.running
        if running is None or running.called:
            return
        timer = clock.callLater(FINISH_LIMIT_S, running.cancel)
        await _quietly(running)
        if timer.active():
            timer.cancel()

    return Deferred.fromCoroutine(wait())
