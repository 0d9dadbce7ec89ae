"""Turns of those who ask for much at once: a bridge with hundreds of requests under way delays nobody else's.

Who has few requests in work goes on at once. Beyond that his requests wait, and are begun a few milliseconds' worth in
each turn of the reactor, between origins (a service, a user) one after the other; so whoever comes meanwhile is read
and answered in between. Nothing is held up until something else has ended: how many are in work is not limited, since
a service may have to call us back before its request can end. Not known here: what requests do.
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
"""Work begun in one turn of the reactor. A larger slice saves turns, a smaller one is fairer; ten of these are what a
human may lose at the most."""
WAITING_LIMIT: Final = 5_000
"""Of one origin: seconds of work, and more connections than any bridge has."""
RETRY_AFTER_MS: Final = 1_000


class Turns:
    """One process' turns. `call_later` and `seconds` are the reactor's."""

    def __init__(self, call_later: Callable[..., Any], seconds: Callable[[], float]) -> None:
        self._call_later = call_later
        self._seconds = seconds
        self._in_work: Counter[str] = Counter()
        self._waiting: dict[str, deque[Deferred[None]]] = {}  # by origin, whose turn it is first
        self._is_due = False

    @property
    def waiting(self) -> int:
        """Requests that were not begun yet."""
        return sum(map(len, self._waiting.values()))

    @contextmanager
    def taking(self, origin: str) -> Iterator["Deferred[None] | None"]:
        """Around the work of a request: what to wait for before it begins, None if it may begin at once. Raises
        M_LIMIT_EXCEEDED when far too much waits."""
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
        queue.append(turn)
        self._arrange()
        return turn

    def _arrange(self) -> None:
        if not self._is_due and self._waiting:
            self._is_due = True
            self._call_later(0, self._begin_some)

    def _begin_some(self) -> None:
        self._is_due = False
        until = self._seconds() + SLICE_S
        while self._waiting:
            origin, queue = next(iter(self._waiting.items()))
            del self._waiting[origin]
            turn = queue.popleft()
            if queue:
                self._waiting[origin] = queue  # behind the others
            if not turn.called:  # else its client has gone
                turn.callback(None)
            if self._seconds() >= until:
                break
        self._arrange()
