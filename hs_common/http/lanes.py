"""Several quick lanes one after the other: a request takes the first that wants it."""

from collections.abc import Sequence
from typing import Any

from hs_common.http.reception import Lane


class Lanes:
    """The lane of a reception."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes

    def take(self, channel: Any, data: bytes) -> bool:
        """Whether one took the bytes, which came between two requests of the channel. If not, nothing happened."""
        for lane in self._lanes:  # noqa: SIM110 - a generator for each request costs as much as a lane that declines
            if lane.take(channel, data):
                return True
        return False
