"""The work of one share that this process holds: claimed once, then done step by step until the share is given up.

Rules: the database is waited for, as long as it takes; a write that finds another term ends the work, since another
process goes on with it; a fault of ours breaks it off for a while only, loudly. Who gives a share up lets the request
under way end, or soon ends it: whoever is just answering should not get the same again, and one that hangs holds up
nobody. Must not know what the work is.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from hs_common.replication.clock import Clock, pause
from hs_common.storage.queries import DatabaseError

STOP_LIMIT_S: Final = 5.0
DATABASE_RETRY_S: Final = 1.0
FAULT_RETRY_S: Final = 30.0
"""What met a fault of ours will mostly meet it again: often enough for one that passes."""

T = TypeVar("T")


class ShareLost(Exception):
    """Another process holds the share."""


class ShareWork:
    """`what` it is, for logs; `claim` begins it and raises ShareLost; `step` does some and answers whether there may be
    more; `ended` is called when that is not so, or when the share is lost."""

    def __init__(
        self,
        clock: Clock,
        what: str,
        claim: Callable[[], Awaitable[None]],
        step: Callable[[], Awaitable[bool]],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._what = what
        self._claim = claim
        self._step = step
        self._ended = ended
        self._asking = False
        self._running: Deferred[None] | None = None
        self._log = Logger()
        self.is_stopping = False

    def start(self) -> None:
        """Begins."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))

    async def stop(self) -> None:
        """Ends when the request under way has, or soon; what is under way stays so in the database."""
        self.is_stopping = True
        running = self._running
        if running is None:
            return
        if not self._asking:
            running.cancel()
        finished: Deferred[None] = Deferred()
        running.addBoth(lambda _: finished.callback(None))
        timer = self._clock.callLater(STOP_LIMIT_S, running.cancel)
        await finished
        if timer.active():
            timer.cancel()

    def abandon(self) -> None:
        """Ends at once."""
        if self._running is not None:
            self._running.cancel()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A request is under way, which `stop` lets end."""
        self._asking = True
        try:
            yield
        finally:
            self._asking = False

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Tries until the database answers."""
        while True:
            try:
                return await work()
            except DatabaseError as error:
                self._log.warn("{what} has to wait for the database: {error}", what=self._what, error=error)
            await pause(self._clock, DATABASE_RETRY_S)

    async def _run(self) -> None:
        while await self._breaks_off():
            await pause(self._clock, FAULT_RETRY_S)
        if not self.is_stopping:
            self._ended()

    async def _breaks_off(self) -> bool:
        """Claims it and works until there is no more; whether it has to be begun anew instead."""
        try:
            await self._claim()
            while not self.is_stopping and await self._step():
                pass
        except ShareLost:
            self._log.info("another worker goes on {what}", what=self._what)
        except CancelledError:
            raise
        except Exception:
            self._log.failure(
                "{what} broke off, and begins anew in {seconds} s", what=self._what, seconds=FAULT_RETRY_S
            )
            return not self.is_stopping
        return False
