"""Reading one's own writes: before a read is answered, the follower is at what was committed when the request came.

Rules: one query for the head is in flight, and answers all requests that came before it was sent; who comes later waits
for the next. After half a second the answer is read through Postgres. Waiting long polls need no barrier, nor do calls
(the master decides on the truth). Must not know what is read.
"""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from hs_common.replication.clock import Clock
from hs_common.replication.follower import Follower

BARRIER_SECONDS = 0.5  # then reading through Postgres is quicker than waiting on

_log = Logger()


class ReadBarrier:
    """The barrier of one process. `head_position` asks Postgres for the position of the last commit."""

    def __init__(self, clock: Clock, follower: Follower, head_position: Callable[[], Awaitable[int]]) -> None:
        self.passed = 0
        self.given_up = 0
        self._clock = clock
        self._follower = follower
        self._head_position = head_position
        self._gathering: list[Deferred[int | None]] = []  # who came since the query in flight was sent
        self._asking = False

    async def reached(self) -> bool:
        """Waits until caches show all that was committed before this call; False: read through Postgres instead."""
        deadline = self._clock.seconds() + BARRIER_SECONDS
        head = await self._head(BARRIER_SECONDS)
        left = deadline - self._clock.seconds()
        if head is not None and left > 0 and await self._follower.wait_for(head, left):
            self.passed += 1
            return True
        self.given_up += 1
        if head is not None:
            self._follower.catch_up()  # whoever carries the log is late: the next request should not wait too
        return False

    async def _head(self, timeout: float) -> int | None:
        """The head as of a query sent after this call; None if there is no answer in time."""
        answer: Deferred[int | None] = Deferred()
        self._gathering.append(answer)
        timer = self._clock.callLater(timeout, _give, answer, None)
        if not self._asking:
            Deferred.fromCoroutine(self._ask())
        try:
            return await answer
        finally:
            if timer.active():
                timer.cancel()

    async def _ask(self) -> None:
        """Asks for all who have gathered, until nobody has."""
        self._asking = True
        try:
            while self._gathering:
                waiting, self._gathering = self._gathering, []
                head = await self._ask_once()
                for answer in waiting:
                    _give(answer, head)
        finally:
            self._asking = False

    async def _ask_once(self) -> int | None:
        try:
            return await self._head_position()
        except CancelledError:
            raise
        except Exception as error:
            _log.warn("the head cannot be read: {error}", error=error)
            return None


def _give(answer: Deferred[int | None], head: int | None) -> None:
    if not answer.called:
        answer.callback(head)
