"""Answers of other servers, kept for a while: the same thing is asked for once at a time, and not again at once.

Failures are not kept: who does not answer is left alone by the client that asks.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred

from hs_common.bounded import Bounded

T = TypeVar("T")

KEPT: Final = 2_000
"""Answers of one kind; the larger ones have some 100 KiB, most far less."""


class KeptAnswers(Generic[T]):
    """`seconds` is a clock that never goes back; `kept_s` how long an answer is believed."""

    def __init__(self, seconds: Callable[[], float], kept_s: float, limit: int = KEPT) -> None:
        self._seconds = seconds
        self._kept_s = kept_s
        self._known = Bounded[Hashable, tuple[float, T]](limit)
        self._asking: dict[Hashable, list[Deferred[None]]] = {}

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answered lately, or answers now. Raises what it raises."""
        while key in self._asking:
            waiting: Deferred[None] = Deferred()
            self._asking[key].append(waiting)
            await waiting
        known = self._known.get(key)
        if known is not None and known[0] > self._seconds():
            return known[1]
        self._asking[key] = []
        try:
            answer = await ask()
        finally:
            for one in self._asking.pop(key):
                if not one.called:
                    one.callback(None)
        self._known[key] = (self._seconds() + self._kept_s, answer)
        return answer
