"""What calls cost, as measured: µs of deciding by kind of call, and seconds from taking to committing. Pure.

Moving averages: what was measured long ago counts little.
"""

from typing import Final

from hs_common.replication.calls import Call

FIRST_GUESS_US: Final = 300.0
FIRST_GUESS_S: Final = 0.0005
LEAST_US: Final = 20.0
"""Nothing is free: a clock that stands still in a test must not make batches endless."""
NEWEST_SHARE: Final = 0.05
NEWEST_BATCH_SHARE: Final = 0.2


class Costs:
    """Told of each decision and each batch."""

    def __init__(self) -> None:
        self._microseconds: dict[type[Call], float] = {}
        self.seconds_each = FIRST_GUESS_S
        """What a call takes of the writer's time, its share of the commit included."""

    def of(self, kind: type[Call]) -> float:
        """µs that deciding on such a call takes."""
        return self._microseconds.get(kind, FIRST_GUESS_US)

    def decided(self, kind: type[Call], seconds: float) -> None:
        """Deciding on one took so long."""
        known = self.of(kind)
        self._microseconds[kind] = max(LEAST_US, known + NEWEST_SHARE * (seconds * 1e6 - known))

    def committed(self, calls: int, seconds: float) -> None:
        """A batch of so many calls took so long in all."""
        self.seconds_each += NEWEST_BATCH_SHARE * (seconds / max(calls, 1) - self.seconds_each)
