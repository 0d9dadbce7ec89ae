"""Sends delayed events when their time has come, while this process leads.

The rows are the truth: a new leader sends at once what came due while there was none, in the order of its time. It
sleeps until the next one is due, and looks again when a call may have changed which that is.

Spec: MSC4140.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.process.ongoing import Ongoing
from hs_common.replication.calls import Answer, Call
from hs_common.replication.clock import Clock, pause
from hs_common.replication.delayed_calls import (
    ManageDelayedEvent,
    PruneDelayedEvents,
    ScheduleEvent,
    SendDelayedEvent,
)
from hs_common.storage import delayed_events
from hs_common.storage.queries import DatabaseError, Queries
from hs_master.pipeline.intake import Busy
from hs_master.pipeline.pending import NotLeading

AT_A_TIME: Final = 50
# However far the next one is, the table is looked at this often: the clock of the day may have been set.
LONGEST_SLEEP_S: Final = 60.0
RETRY_S: Final = 1.0
# Spec: "retain finalised events for up to 7 days".
KEPT_MS: Final = 7 * 24 * 3600 * 1000
PRUNE_INTERVAL_MS: Final = 3600 * 1000

_log = Logger()


class DelayedEvents:
    """Runs until stopped."""

    def __init__(
        self, db: Queries, clock: Clock, submit: Callable[[Call], Awaitable[Answer]], now_ms: Callable[[], int]
    ) -> None:
        self._db = db
        self._clock = clock
        self._submit = submit
        self._now_ms = now_ms
        self._running = Ongoing(clock, "sending delayed events", self._run)
        self._sleep: Deferred[None] | None = None
        self._changed = False
        self._pruned_ms = 0

    def start(self) -> None:
        self._running.start()

    def stop(self) -> None:
        self._running.stop()

    def noticed(self, call: Call) -> None:
        """A call was done that may have changed when the next event is due."""
        if isinstance(call, ScheduleEvent | ManageDelayedEvent):
            self._changed = True
            if self._sleep is not None and not self._sleep.called:
                self._sleep.callback(None)

    async def _run(self) -> None:
        while True:
            self._changed = False
            try:
                sleep_s = await self._send_due()
            except (DatabaseError, NotLeading, Busy) as error:
                _log.warn("delayed events have to wait: {error}", error=error)
                await pause(self._clock, RETRY_S)
            else:
                await self._sleep_for(sleep_s)

    async def _send_due(self) -> float:
        """Sends what is due; for how long there is nothing to do then."""
        while due := await delayed_events.due(self._db, self._now_ms(), AT_A_TIME):
            for delay_id in due:
                await self._send(delay_id)
        await self._prune()
        next_ms = await delayed_events.next_due_ms(self._db)
        if next_ms is None:
            return LONGEST_SLEEP_S
        return min(LONGEST_SLEEP_S, max(0, next_ms - self._now_ms()) / 1000)

    async def _send(self, delay_id: str) -> None:
        try:
            await self._submit(SendDelayedEvent(delay_id=delay_id))
        except MatrixError as error:  # a failure of ours; others are not held up by it for long
            _log.error("a delayed event is not sent now: {error}", error=error)
            await pause(self._clock, RETRY_S)

    async def _prune(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._pruned_ms > PRUNE_INTERVAL_MS:
            self._pruned_ms = now_ms
            if await delayed_events.has_finalised_before(self._db, now_ms - KEPT_MS):
                await self._submit(PruneDelayedEvents(before_ms=now_ms - KEPT_MS))

    async def _sleep_for(self, seconds: float) -> None:
        """Until the time is up or something changed."""
        if self._changed:
            return
        sleep: Deferred[None] = Deferred()
        self._sleep = sleep
        timer = self._clock.callLater(seconds, sleep.callback, None)
        try:
            await sleep
        finally:
            self._sleep = None
            if timer.active():
                timer.cancel()
