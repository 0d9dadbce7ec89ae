"""Answers of other servers, kept for a while: the same thing is asked for once at a time, and not again at once.

Failures are not kept: who does not answer is left alone by the client that asks.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from hs_common.bounded import Bounded
from hs_common.under_way import UnderWay

T = TypeVar("T")

KEPT: Final = 2_000
"""Answers of one kind; the larger ones have some 100 KiB, most far less."""


class KeptAnswers(Generic[T]):
    """`seconds` is a clock that never goes back; `kept_s` how long an answer is believed."""

    def __init__(self, seconds: Callable[[], float], kept_s: float, limit: int = KEPT) -> None:
        self._seconds = seconds
        self._kept_s = kept_s
        self._known = Bounded[Hashable, tuple[float, T]](limit)
        self._asking = UnderWay[Hashable]()

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answered lately, or answers now. Raises what it raises."""
        while key in self._asking:
            await self._asking.end_of(key)
        known = self._known.get(key)
        if known is not None and known[0] > self._seconds():
            return known[1]
        with self._asking.begun(key):
            answer = await ask()
            self._known[key] = (self._seconds() + self._kept_s, answer)
        return answer
