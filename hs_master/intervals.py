"""Rows that say "so from this position to that one", collapsed over a batch before they are written.

The parts of one transaction share a snapshot, so a row that begins and ends within a batch must be written as it ends
up: it never exists with an open end. `Intervals` remembers the rows that this batch began and closes them in place;
what began in an earlier batch is closed by a statement.
"""

from collections.abc import Iterator
from typing import Final

ALWAYS: Final = 9223372036854775807  # to_pos of what is still so: the largest bigint

Key = tuple[str, ...]
Values = tuple[object, ...]


class IntervalChange:
    """At `pos` what was so under `key` ends, and `values` begin (None: nothing does)."""

    __slots__ = ("existed", "key", "pos", "values")

    def __init__(self, key: Key, values: Values | None, pos: int, existed: bool) -> None:
        self.key = key
        self.values = values
        self.pos = pos
        self.existed = existed  # False: surely no row is open under the key, so none need be closed


class Intervals:
    """The changes of one interval table in one batch."""

    def __init__(self) -> None:
        self._begun: dict[Key, list[tuple[Values, int, int]]] = {}  # values, from_pos, to_pos
        self._closed: dict[Key, int] = {}

    def apply(self, change: IntervalChange) -> None:
        begun = self._begun.get(change.key)
        if begun:
            values, from_pos, to_pos = begun[-1]
            if to_pos == ALWAYS:
                begun[-1] = (values, from_pos, change.pos)
        elif change.existed:
            self._closed.setdefault(change.key, change.pos)
        if change.values is not None:
            self._begun.setdefault(change.key, []).append((change.values, change.pos, ALWAYS))

    def closed(self) -> Iterator[tuple[object, ...]]:
        """Rows (*key, to_pos) that end something of an earlier batch."""
        for key, pos in self._closed.items():
            yield (*key, pos)

    def begun(self) -> Iterator[tuple[object, ...]]:
        """Rows (*key, *values, from_pos, to_pos) to insert. A row that begins and ends at one position is left out."""
        for key, rows in self._begun.items():
            for values, from_pos, to_pos in rows:
                if from_pos != to_pos:
                    yield (*key, *values, from_pos, to_pos)
