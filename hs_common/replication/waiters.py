"""Those who wait until a position is reached, each with a time limit. Must not know what moves the position."""

import heapq
import itertools

from twisted.internet.defer import Deferred

from hs_common.replication.clock import Clock

WAITERS_LIMIT = 100_000  # far above the requests that a process can serve at once


class Waiters:
    """Waits for positions. False while nobody waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Deferred[bool]]] = []  # (position, number for a total order, who)
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._heap)

    async def wait(self, pos: int, timeout: float) -> bool:
        """Waits until `wake` is called with `pos` or more: True; False after `timeout` seconds or by `abandon`."""
        if len(self._heap) >= WAITERS_LIMIT:
            return False
        deferred: Deferred[bool] = Deferred()
        waiter = (pos, next(self._numbers), deferred)
        heapq.heappush(self._heap, waiter)
        timer = self._clock.callLater(timeout, deferred.callback, False)
        reached = False
        try:
            reached = await deferred
        finally:
            if timer.active():
                timer.cancel()
            if not reached and waiter in self._heap:
                self._heap.remove(waiter)
                heapq.heapify(self._heap)
        return reached

    def wake(self, pos: int) -> None:
        """Position `pos` is reached."""
        while self._heap and self._heap[0][0] <= pos:
            deferred = heapq.heappop(self._heap)[2]
            if not deferred.called:
                deferred.callback(True)

    def abandon(self) -> None:
        """No position will be reached any more."""
        heap, self._heap = self._heap, []
        for _, _, deferred in heap:
            if not deferred.called:
                deferred.callback(False)
