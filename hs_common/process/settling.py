"""Brings what a process does in line with what it should do, whenever that changed.

Rules: one run at a time, once more for what changed meanwhile, and once more some time after a failure: a change that
is met by none would leave work undone until the next one.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from hs_common.replication.clock import Clock
from hs_common.storage.queries import DatabaseError

RETRY_S: Final = 1.0

_log = Logger()


class Settling:
    """Runs `settle` in `background` after each `changed`, until stopped; `what` is settled, for logs and metrics."""

    def __init__(
        self,
        clock: Clock,
        background: Callable[[str, Coroutine[Any, Any, None]], None],
        what: str,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._background = background
        self._what = what
        self._settle = settle
        self._is_wanted = self._is_running = self._stopped = False

    @property
    def is_settled(self) -> bool:
        """Whether the last change has been met."""
        return not (self._is_wanted or self._is_running)

    def changed(self) -> None:
        """Something is to be settled."""
        self._is_wanted = True
        if not self._is_running and not self._stopped:
            self._is_running = True
            self._background(self._what, self._run())

    def stop(self) -> None:
        """Begins no other run."""
        self._stopped = True

    async def _run(self) -> None:
        try:
            while self._is_wanted and not self._stopped:
                self._is_wanted = False
                await self._settle()
        except CancelledError:
            raise
        except DatabaseError as error:
            _log.warn("{what} cannot be read, trying again: {error}", what=self._what, error=error)
            self._again()
        except Exception:
            _log.failure("{what}: a run failed, trying again", what=self._what)
            self._again()
        finally:
            self._is_running = False

    def _again(self) -> None:
        self._is_wanted = True
        self._clock.callLater(RETRY_S, self.changed)
