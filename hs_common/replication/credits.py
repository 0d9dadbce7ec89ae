"""How many calls of one origin (a service, a user) are under way to the master from one process; more wait here.

A flood that is all under way makes batches, and bursts of answers, that everybody else's calls have to sit out. What
waits here costs nobody anything. No call waits for what another origin, or a service, has to do first, so nothing can
wait for itself. Calls of no origin are this server's own: there are few.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twisted.internet.defer import CancelledError, Deferred

from hs_common.replication.clock import Clock

CREDITS: Final = 32
"""Enough to keep the master busy, and some 10 ms of its time: whoever calls meanwhile sits out two such batches."""
LONGEST_WAIT_SHARE: Final = 0.5
"""For a credit, of what a call may take in all, so that the call itself need not be given up half-way."""


async def granted(turn: "Deferred[None]", clock: Clock, seconds: float) -> bool:
    """Waits for a turn, but no longer than so; whether it came."""
    timer = clock.callLater(seconds, turn.cancel)
    try:
        await turn
    except CancelledError:
        if timer.active():
            raise  # it is the caller who gave up
        return False
    finally:
        if timer.active():
            timer.cancel()
    return True


class Credits:
    """Of one process."""

    def __init__(self, limit: int = CREDITS) -> None:
        self._limit = limit
        self._in_use: Counter[str] = Counter()
        self._waiting: dict[str, OrderedDict[Deferred[None], None]] = {}

    @property
    def waiting(self) -> int:
        """Calls that were not sent yet."""
        return sum(map(len, self._waiting.values()))

    @contextmanager
    def taking(self, origin: str) -> Iterator["Deferred[None] | None"]:
        """Around a call: what to wait for before it is sent, None if it may be sent at once."""
        if not origin:
            yield None
            return
        turn = self._turn(origin)
        try:
            yield turn
        finally:
            queue = self._waiting.get(origin, ())
            if turn is not None and turn in queue:
                self._give_up(origin, turn)
            else:
                self._pass_on(origin)

    def _turn(self, origin: str) -> "Deferred[None] | None":
        if self._in_use[origin] < self._limit:
            self._in_use[origin] += 1
            return None
        turn: Deferred[None] = Deferred()
        self._waiting.setdefault(origin, OrderedDict())[turn] = None
        return turn

    def _give_up(self, origin: str, turn: "Deferred[None]") -> None:
        queue = self._waiting[origin]
        del queue[turn]
        if not queue:
            del self._waiting[origin]

    def _pass_on(self, origin: str) -> None:
        """The call is over: the next of its origin may be sent."""
        queue = self._waiting.get(origin)
        if queue is None:
            self._in_use[origin] -= 1
            if not self._in_use[origin]:
                del self._in_use[origin]
            return
        turn, _ = queue.popitem(last=False)
        if not queue:
            del self._waiting[origin]
        if turn.called:  # its caller has just gone, and does not know yet
            self._pass_on(origin)
        else:
            turn.callback(None)
