"""The ends of many waits that hardly ever come, since news comes first: one timer for all of them.

Rules: a deadline is kept to the tick, never early. To set one and to drop it costs a dict's entry; the reactor's own
timers cost some microseconds each, and as many again when they are called off.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Final, Generic, TypeVar

from hs_common.replication.clock import Clock, DelayedCall

TICKS_PER_S: Final = 20
"""A deadline may come a tick late. Clients give an answer seconds more than they asked to wait."""

_Who = TypeVar("_Who")


class Deadlines(Generic[_Who]):
    """`on_end` is called with each whose time is up, once, and forgets it; each has one deadline at most."""

    def __init__(self, clock: Clock, on_end: Callable[[_Who], None]) -> None:
        self._clock = clock
        self._on_end = on_end
        self._tick_of: dict[_Who, int] = {}
        self._at: dict[int, dict[_Who, None]] = {}
        self._ticks: list[int] = []  # a heap of the keys of `_at`
        self._timer: DelayedCall | None = None
        self._timer_tick = 0

    def __len__(self) -> int:
        return len(self._tick_of)

    def add(self, who: _Who, seconds: float) -> None:
        """In so many seconds, or up to a tick later."""
        tick = ceil((self._clock.seconds() + seconds) * TICKS_PER_S)
        self._tick_of[who] = tick
        at = self._at.get(tick)
        if at is None:
            at = self._at[tick] = {}
            heappush(self._ticks, tick)
        at[who] = None
        if self._timer is None or tick < self._timer_tick:
            self._set_timer(tick)

    def remove(self, who: _Who) -> None:
        """The end of that wait is of no interest any more, if it still was."""
        tick = self._tick_of.pop(who, None)
        if tick is None:
            return
        del self._at[tick][who]
        if not self._tick_of:
            self._stop_timer()
            self._ticks.clear()
            self._at.clear()

    def _set_timer(self, tick: int) -> None:
        self._stop_timer()
        self._timer_tick = tick
        self._timer = self._clock.callLater(max(0.0, tick / TICKS_PER_S - self._clock.seconds()), self._ring)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        ended: list[_Who] = []
        while self._ticks and (self._ticks[0] / TICKS_PER_S <= now or not self._at[self._ticks[0]]):
            ended += self._at.pop(heappop(self._ticks))
        for who in ended:
            del self._tick_of[who]
        if self._ticks:
            self._set_timer(self._ticks[0])
        for who in ended:
            self._on_end(who)
