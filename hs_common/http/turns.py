"""Turns of those who ask for much at once: a bridge with hundreds of requests under way delays nobody else's.

Who has few requests in work goes on at once. Beyond that his requests wait, and are begun a few milliseconds' worth in
each turn of the reactor, between origins (a service, a user) one after the other; so whoever comes meanwhile is read
and answered in between. Nothing is held up until something else has ended: how many are in work is not limited, since
a service may have to call us back before its request can end; but who waits too long for his turn is asked to come back
later. Not known here: what requests do.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from twisted.internet.defer import Deferred

from hs_common.matrix.errors import limit_exceeded

FREE: Final = 8
"""Requests of one origin in work that others do not notice: more than a browser or a bot ever has."""
SLICE_S: Final = 0.004
"""Work begun in one turn of the reactor, at least. A larger slice saves turns, a smaller one is fairer."""
LONGEST_SLICE_S: Final = 0.012
"""As much as all else took since the slice before is begun, so that those who wait are not starved by answers and by
requests that are only read; but no more than this, ten of which are what a human may lose at the most."""
LONGEST_WAIT_S: Final = 4.0
"""For a turn. What comes after it, a call to the master, has so much less time: the request ends within ten seconds."""
WAITING_LIMIT: Final = 5_000
"""Of one origin: seconds of work, and more connections than any bridge has."""
RETRY_AFTER_MS: Final = 2_000


class Turns:
    """One process' turns. `call_later` and `seconds` are the reactor's."""

    def __init__(self, call_later: Callable[..., Any], seconds: Callable[[], float]) -> None:
        self._call_later = call_later
        self.seconds = seconds
        self._in_work: Counter[str] = Counter()
        self._waiting: dict[str, deque[tuple[float, Deferred[None]]]] = {}  # by origin, whose turn it is first
        self._is_due = False
        self._arranged_s = 0.0

    @property
    def waiting(self) -> int:
        """Requests that were not begun yet."""
        return sum(map(len, self._waiting.values()))

    @contextmanager
    def taking(self, origin: str) -> Iterator["Deferred[None] | None"]:
        """Around the work of a request: what to wait for before it begins, None if it may begin at once. Raises
        M_LIMIT_EXCEEDED when far too much waits, and so does the wait when it was too long."""
        turn = self._turn(origin)
        self._in_work[origin] += 1
        try:
            yield turn
        finally:
            self._in_work[origin] -= 1
            if not self._in_work[origin]:
                del self._in_work[origin]

    def _turn(self, origin: str) -> "Deferred[None] | None":
        if self._in_work[origin] < FREE:
            return None
        queue = self._waiting.setdefault(origin, deque())
        if len(queue) >= WAITING_LIMIT:
            raise limit_exceeded(RETRY_AFTER_MS)
        turn: Deferred[None] = Deferred()
        queue.append((self.seconds(), turn))
        self._arrange()
        return turn

    def _arrange(self) -> None:
        if not self._is_due and self._waiting:
            self._is_due = True
            self._arranged_s = self.seconds()
            self._call_later(0, self._begin_some)

    def _begin_some(self) -> None:
        self._is_due = False
        now_s = self.seconds()
        until_s = now_s + min(max(now_s - self._arranged_s, SLICE_S), LONGEST_SLICE_S)
        while self._waiting:
            origin, queue = next(iter(self._waiting.items()))
            del self._waiting[origin]
            since_s, turn = queue.popleft()
            if queue:
                self._waiting[origin] = queue  # behind the others
            if turn.called:
                pass  # its client has gone
            elif now_s - since_s > LONGEST_WAIT_S:
                turn.errback(limit_exceeded(RETRY_AFTER_MS))
            else:
                turn.callback(None)
            if self.seconds() >= until_s:
                break
        self._arrange()
