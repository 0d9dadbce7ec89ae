"""What pushers of all kinds do the same: read what waits, see whether it was read meanwhile, note what is done, and
wait ever longer while nothing gets through.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from hs_common.config.push import Push
from hs_common.replication.clock import Clock, pause
from hs_common.replication.link_interface import Link
from hs_common.storage import push_queue
from hs_common.storage.push_queue import QueuedPush
from hs_common.storage.queries import Queries
from hs_workers.push.badges import Badges
from hs_workers.push.event_reading import EventReading
from hs_workers.push.notification import PushedEvent
from hs_workers.push.senders import Lost, Task

FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 900.0
RETRY_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class Pushing:
    """What all of them use. `position`: of this process' follower; `now_ms` is the time of day."""

    db: Queries
    master: Link
    badges: Badges
    events: EventReading
    settings: Push
    clock: Clock
    random: Random
    now_ms: Callable[[], int]
    position: Callable[[], int]

    async def waiting(self, task: Task, limit: int) -> list[QueuedPush]:
        """The first rows of the task's queue; its state is known afterwards."""
        if task.state is None:
            task.state = await push_queue.state(self.db, task.pusher.pusher_id)
        return await push_queue.waiting(self.db, task.pusher.pusher_id, limit)

    async def is_read(self, user_id: str, row: QueuedPush) -> bool:
        """Whether the user has read it meanwhile. Invites cannot be read."""
        is_invite = row.thread_id == ""
        return not is_invite and await self.badges.is_read(user_id, row.room_id, row.thread_id, row.pos)

    async def event(self, user_id: str, row: QueuedPush) -> PushedEvent | None:
        """What it is about, as it is now; None if there is nothing to be told any more."""
        return await self.events.of(row, user_id, max(row.pos, self.position()))

    async def settle(self, task: Task, positions: Sequence[int]) -> None:
        """These rows are done. Raises Lost."""
        if positions and not await push_queue.settle(self.db, task.shard, task.term, task.pusher.pusher_id, positions):
            raise Lost

    async def pause_after(self, failures: int, least_s: float = 0.0) -> None:
        """Waits after so many failures in a row."""
        await pause(self.clock, max(least_s, retry_s(failures, self.random)))


def retry_s(failures: int, random: Random) -> float:
    """How long to wait after so many failures in a row."""
    seconds = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures - 1, 10))
    return seconds * (1 - RETRY_JITTER * random.random())
