"""Which servers have made us look for events in vain lately, by room: for a while nothing is fetched for them there.

Who sends events that lead nowhere, or answers slowly what we ask because of them, costs us far more than himself; so
what was spent on it is followed by many times as much rest. Events of others in the same room are fetched for.
"""

from typing import Final

from hs_common.bounded import Bounded

WAIT_FACTOR: Final = 20.0
"""Rest for each second of looking in vain: at most a twentieth of our time goes there."""
LONGEST_WAIT_S: Final = 60.0
"""An honest server that was away is asked again after this at the latest."""
MAXIMUM_KEPT: Final = 10_000
"""Pairs of a room and a server; some hundred bytes each."""


class InVain:
    """The memory of one process. Times are of a clock that never goes back."""

    def __init__(self) -> None:
        self._until = Bounded[tuple[str, str], float](MAXIMUM_KEPT)

    def rests_for_s(self, room_id: str, origin: str, now: float) -> float:
        """For how long nothing is fetched for a server in a room; 0: it may be."""
        return max(0.0, self._until.get((room_id, origin), now) - now)

    def looked(self, room_id: str, origin: str, seconds: float, now: float, *, was_in_vain: bool) -> None:
        """So long was looked for what a server's events in a room need."""
        if was_in_vain:
            self._until[room_id, origin] = now + min(WAIT_FACTOR * seconds, LONGEST_WAIT_S)
        else:
            self._until.pop((room_id, origin), None)
