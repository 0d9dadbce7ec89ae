"""Tokens of a history that the log lost in a fail-over: recognised by the gaps between epochs.

A position p is of a lost history exactly if a take-over found a head below p and gave out its first position above p.
Take-overs are few and read once an epoch.
"""

from collections.abc import Callable, Sequence

from hs_common.storage import epochs
from hs_common.storage.queries import Queries


class LostHistory:
    """`epoch`: the epoch that this process follows."""

    def __init__(self, db: Queries, epoch: Callable[[], int]) -> None:
        self._db = db
        self._epoch = epoch
        self._read_in: int | None = None
        self._gaps: Sequence[tuple[int, int]] = ()
        self._last_first = 0  # nothing from there on was lost

    async def before(self, position: int, *, anew: bool = False) -> int | None:
        """The head that survived below a lost position; None for a position that was not lost."""
        epoch = self._epoch()
        if anew or self._read_in != epoch:
            self._gaps = [(prev, first) for prev, first in await epochs.take_overs(self._db)]
            self._last_first = max((first for _, first in self._gaps), default=0)
            self._read_in = epoch
        return self._head_below(position)

    def is_lost(self, position: int) -> bool | None:
        """The same as yes or no, from memory; None if take-overs must be read first."""
        return None if self._read_in != self._epoch() else self._head_below(position) is not None

    def _head_below(self, position: int) -> int | None:
        if position >= self._last_first:
            return None
        return min((prev for prev, first in self._gaps if prev < position < first), default=None)
