"""Something to wait for: rung while nobody waits, it wakes the next wait at once. One waits at a time."""

from twisted.internet.defer import Deferred

from hs_common.replication.clock import Clock


class Alarm:
    """Rung any number of times before a wait, it counts once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = False
        self._waiting: Deferred[bool] | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it now."""
        return self._waiting is not None

    def ring(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._rung = True
        else:
            waiting.callback(True)

    async def wait(self, seconds: float) -> bool:
        """Whether it rang before the time was over."""
        if self._rung:
            self._rung = False
            return True
        waiting: Deferred[bool] = Deferred(lambda _: self._forget())
        self._waiting = waiting
        timer = self._clock.callLater(seconds, self._over)
        try:
            return await waiting
        finally:
            if timer.active():
                timer.cancel()

    def _over(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(False)

    def _forget(self) -> None:
        self._waiting = None
