"""A dictionary that does not grow without end: the memory of what others make a process remember.

What was noted longest ago goes first. That is no `lru_cache`: reading says nothing about age, and costs what reading a
dictionary does.
"""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(dict[K, V]):
    """At most `most` entries. Entries are noted by `bounded[key] = value` alone: that makes them the newest."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        self.pop(key, None)
        while len(self) >= self._most:
            del self[next(iter(self))]
        super().__setitem__(key, value)
