"""Finds calls that end the process which decides them, without letting them end it.

A worker tells beside a call how many masters were succeeded while they had it. That alone proves nothing: masters end
for many reasons, with thousands of innocent calls on their hands. So such calls, and they alone, are decided in a copy
of the process first. What two copies do not survive is refused; all others are decided as ever, however many masters
they have outlived. Not known here: how a copy is made.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from hs_master.pipeline.pending import PendingCall

COPIES: Final = 2
"""So many must end at the same step: one may have been ended by others, for want of memory or by mistake."""

Steps = Sequence[Callable[[], object]]
Rehearse = Callable[[Steps], Awaitable[int | None]]
"""Takes the steps one after the other in a copy of this process, of which nothing is left; the number of the step that
the copy did not survive, None if it survived all. What steps raise is no end."""


async def nothing_ends(steps: Steps) -> int | None:
    """Where no copy can be made: nothing is taken, and nothing suspected."""
    return None


class Rehearsal:
    """Rehearses batches. `steps_of` gives for each call of a batch the step that decides it, and for the last step the
    encoding of what they change."""

    def __init__(self, rehearse: Rehearse, steps_of: Callable[[Sequence[PendingCall]], Steps]) -> None:
        self._rehearse = rehearse
        self._steps_of = steps_of

    async def fatal(self, calls: Sequence[PendingCall]) -> list[PendingCall]:
        """Those of the calls that end a process."""
        if not calls:
            return []
        step = await self._end_of(calls)
        if step is None:
            return []
        if step < len(calls):
            others = [*calls[:step], *calls[step + 1 :]]
            return [calls[step], *await self.fatal(others)]
        if len(calls) == 1:
            return list(calls)
        middle = len(calls) // 2
        return [*await self.fatal(calls[:middle]), *await self.fatal(calls[middle:])]

    async def _end_of(self, calls: Sequence[PendingCall]) -> int | None:
        found = await self._rehearse(self._steps_of(calls))
        for _ in range(COPIES - 1):
            if found is None or await self._rehearse(self._steps_of(calls)) != found:
                return None
        return found
