"""Runs the writer whenever something waits: at once when nothing is being committed, else right after the commit.

Under load a batch waits a moment for those who were just answered, and ask again: everything that follows a commit, the
database's work, the followers' and the services', costs by the commit more than by the event.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from hs_common.replication.clock import Clock, pause
from hs_master.pipeline.writer import Writer

LOAD: Final = 4
"""Calls of a batch, from which on there is load: one who waits for each answer before he asks again never waits."""
GATHER_S: Final = 0.002
"""Less than a commit takes, and about what it takes an answer to bring the next request."""


class WriterLoop:
    """Calls `Writer.run_once` until nothing is ready, then sleeps until woken."""

    def __init__(self, clock: Clock, background: Callable[[str, Coroutine[Any, Any, None]], None]) -> None:
        self._clock = clock
        self._background = background
        self._writer: Writer | None = None
        self._running = False

    def start(self, writer: Writer) -> None:
        self._writer = writer
        self.wake()

    def wake(self) -> None:
        """Something may be ready. The reactor's next turn begins, so calls that came together are taken together."""
        if self._writer is not None and not self._running:
            self._running = True
            self._clock.callLater(0, self._begin)

    def _begin(self) -> None:
        self._background("write the log", self._run())

    async def _run(self) -> None:
        assert self._writer is not None, "woken only when started"
        try:
            while await self._writer.run_once():
                if self._writer.last_batch >= LOAD and self._writer.waiting < self._writer.last_batch:
                    await pause(self._clock, GATHER_S)
        finally:
            self._running = False
