"""Virtual time, and processes that can freeze and die in it.

A heap instead of Twisted's `task.Clock`, which sorts all calls at each new one: a world makes thousands. A call may
belong to a process: while that is frozen its calls are held, as a stopped process' are, and made in order when it goes
on; when it is dead they are never made.
"""

import heapq
from collections.abc import Callable
from math import ceil
from typing import Any

CALLS_LIMIT = 100_000  # some thousand are usual: a world that goes round in circles is ended


# Times are multiples of 2⁻²⁰ s: then differences and sums of them are exact, as they are near today's date in seconds.
_TICKS = 2.0**20


class Timer:
    """A call that is still to come."""

    __slots__ = ("_pending", "args", "call", "owner", "time")

    def __init__(self, time: float, owner: "Process | None", call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.time = time
        self.owner = owner
        self.call = call
        self.args = args
        self._pending = True

    def active(self) -> bool:
        return self._pending

    def cancel(self) -> None:
        assert self._pending, "only a call that is still to come can be cancelled"
        self._pending = False

    def fire(self) -> None:
        self._pending = False
        self.call(*self.args)


def _exact(time: float) -> float:
    return ceil(time * _TICKS) / _TICKS


class VirtualClock:
    """Seconds since the world began. Calls at one time are made in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = 1.0  # not 0, so that the first position is not 0 either
        self.calls = 0
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = 0

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any) -> Timer:
        """A call that belongs to no process: the network, the database, who uses the server."""
        return self.call_in(None, delay, call, args)

    def call_in(
        self, owner: "Process | None", delay: float, call: Callable[..., Any], args: tuple[Any, ...] = ()
    ) -> Timer:
        timer = Timer(_exact(self.now + max(0.0, delay)), owner, call, args)
        self._push(timer)
        return timer

    def run_until(self, time: float) -> None:
        time, heap = _exact(time), self._heap
        while heap and heap[0][0] <= time:
            self.now, _, timer = heapq.heappop(heap)
            owner = timer.owner
            if not timer.active():
                continue
            if owner is not None and (owner.is_frozen or not owner.is_alive):
                owner.held.append(timer)  # also of the dead: what is forgotten would be finalised, which is to run on
                continue
            self.calls += 1
            assert self.calls < CALLS_LIMIT, f"the world goes round in circles at {self.now:.3f} s: {timer.call}"
            timer.fire()
        self.now = time

    def again(self, timer: Timer) -> None:
        """Make a held call now."""
        timer.time = self.now
        self._push(timer)

    def _push(self, timer: Timer) -> None:
        self._number += 1
        heapq.heappush(self._heap, (timer.time, self._number, timer))


class Process:
    """A process: the clock of everything in it. `frozen_seconds`: how long it has stood still so far."""

    def __init__(self, clock: VirtualClock, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_frozen = False
        self.held: list[Timer] = []
        self._clock = clock
        self._frozen_at = 0.0
        self._frozen_before = 0.0

    @property
    def frozen_seconds(self) -> float:
        return self._frozen_before + (self._clock.now - self._frozen_at if self.is_frozen else 0.0)

    def seconds(self) -> float:
        return self._clock.now

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any) -> Timer:
        return self._clock.call_in(self, delay, call, args)

    def freeze(self) -> None:
        if not self.is_frozen:
            self.is_frozen, self._frozen_at = True, self._clock.now

    def thaw(self) -> None:
        if self.is_frozen:
            self._frozen_before = self.frozen_seconds
            self.is_frozen = False
            held, self.held = self.held, []
            for timer in held:
                self._clock.again(timer)

    def kill(self) -> None:
        self.is_alive = False
