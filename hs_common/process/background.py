"""Work that nobody waits for, without being forgotten: it has a name, its failure is logged and counted, and the
process does not end in the middle of it.

Everything that is started and not awaited goes through here; there is no other fire-and-forget.
"""

from collections import Counter
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure


class Background:
    """`background(name, coroutine)` starts it. Names are few and fixed: they label metrics."""

    def __init__(self) -> None:
        self._log = Logger()
        self._running: dict[Deferred[None], str] = {}
        self._waiting: set[Deferred[None]] = set()
        self.started: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def __call__(self, name: str, coroutine: Coroutine[Any, Any, object]) -> None:
        """Runs the coroutine; what it returns is dropped."""
        self.started[name] += 1
        work: Deferred[Any] = Deferred.fromCoroutine(coroutine)
        self._running[work] = name
        work.addErrback(self._failed, name)
        work.addBoth(lambda _: self._ended(work))

    def running(self) -> Counter[str]:
        """How many are under way, by name."""
        return Counter(self._running.values())

    async def drained(self) -> None:
        """Waits until nothing is under way. What runs for ever must have been told to stop before."""
        if self._running:
            waiting: Deferred[None] = Deferred(self._waiting.discard)
            self._waiting.add(waiting)
            await waiting

    def cancel(self) -> None:
        """Stops all that is under way."""
        for work in list(self._running):
            work.cancel()

    def _failed(self, failure: Failure, name: str) -> None:
        if not failure.check(CancelledError):
            self.failed[name] += 1
            self._log.failure("Background work {name} failed", failure=failure, name=name)

    def _ended(self, work: Deferred[Any]) -> None:
        self._running.pop(work, None)
        if not self._running:
            all_waiting, self._waiting = self._waiting, set()
            for waiting in all_waiting:
                waiting.callback(None)
