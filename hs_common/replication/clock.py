"""The clock as replication uses it: what Twisted's reactor (or `task.Clock` in tests) offers to tell and keep time.

A protocol of our own, because Twisted's interfaces are not types.
"""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred


class DelayedCall(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """The call will not be made. Only while `active()`."""

    def active(self) -> bool:
        """Whether the call is still to be made."""


class Clock(Protocol):
    """Time in seconds, monotonic."""

    def seconds(self) -> float:
        """Now; only differences mean something."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> DelayedCall:
        """Calls `callable(*args)` in `delay` seconds; 0: in a turn of its own."""


async def pause(clock: Clock, seconds: float) -> None:
    """Waits; cancelling the wait cancels the timer."""
    deferred: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = clock.callLater(seconds, deferred.callback, None)
    await deferred
