"""Work that goes on as long as a process does: begun anew, loudly, when a fault of ours has broken it off.

Rules: what the outside refuses (a database, Redis) is the work's own affair; what arrives here is a bug, and a process
that lived on without its work would look well while mail waits for ever. Work that ends by itself has ended.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from hs_common.replication.clock import Clock, pause

AGAIN_S: Final = 5.0
"""Long enough that a fault which comes back at once neither fills the log nor takes the processor."""

_log = Logger()


class Ongoing:
    """`work` from `start` to `stop`; `what` it is, for the log."""

    def __init__(self, clock: Clock, what: str, work: Callable[[], Awaitable[object]]) -> None:
        self._clock = clock
        self._what = what
        self._work = work
        self._running: Deferred[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Begins."""
        self._stopped = False
        self._running = Deferred.fromCoroutine(self._go_on())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))

    def stop(self) -> None:
        """Ends it where it waits; nothing if it was never begun."""
        self._stopped = True
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    async def _go_on(self) -> None:
        while True:
            try:
                await self._work()
                return
            except Exception:  # also a CancelledError, of something that was given up inside
                if self._stopped:
                    raise
                _log.failure("{what} broke off, and begins anew in {seconds} s", what=self._what, seconds=AGAIN_S)
            await pause(self._clock, AGAIN_S)
