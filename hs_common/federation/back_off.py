"""Which servers are left alone for a while because they did not answer lately.

Rules: what counts is whether a server can be reached, not what it answers; an error of its own is an answer, but for
those that say that it cannot work now. Any sign of life ends it. The memory is a process' own; who sends for days keeps
a longer one and tells this of it by the same protocol.
"""

from collections.abc import Callable
from typing import Final, Protocol

from hs_common.bounded import Bounded
from hs_common.federation.failures import BackingOff

FIRST_S: Final = 5.0
"""Long enough that a page of requests for the same dead server waits once, short enough for a restart."""
LONGEST_S: Final = 600.0
"""A person who looks again after ten minutes gets a new try."""
GROWTH: Final = 3.0
SURELY_AWAY: Final = ("dns", "connect", "tls", "not_allowed")
"""Failures that the next request will meet too. Others may be of one request alone, and cost only the first step."""
KEPT: Final = 20_000


class BackOff(Protocol):
    """Is asked before a request and told how it went."""

    def check(self, destination: str) -> None:
        """Raises BackingOff."""

    def failed(self, destination: str, kind: str, retry_after_s: float | None = None) -> None:
        """It did not answer, or said that it cannot work now."""

    def alive(self, destination: str) -> None:
        """It answered, or asked something of us."""


class MemoryBackOff:
    """`seconds` is a clock that never goes back, `random` gives numbers in [0, 1)."""

    def __init__(self, seconds: Callable[[], float], random: Callable[[], float]) -> None:
        self._seconds = seconds
        self._random = random
        self._away = Bounded[str, tuple[float, float]](KEPT)
        """Until when, and how long that is."""

    def __len__(self) -> int:
        return len(self._away)

    def check(self, destination: str) -> None:
        until, _ = self._away.get(destination, (0.0, 0.0))
        left = until - self._seconds()
        if left > 0:
            raise BackingOff(destination, left)

    def failed(self, destination: str, kind: str, retry_after_s: float | None = None) -> None:
        _, before = self._away.pop(destination, (0.0, 0.0))
        length = min(max(FIRST_S, before * GROWTH), LONGEST_S) if kind in SURELY_AWAY or before else FIRST_S
        if retry_after_s is not None:
            length = min(max(length, retry_after_s), LONGEST_S)
        jittered = length * (0.8 + 0.4 * self._random())
        self._away[destination] = (self._seconds() + jittered, length)

    def alive(self, destination: str) -> None:
        self._away.pop(destination, None)
