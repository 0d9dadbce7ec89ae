"""A dictionary that does not grow without end: the memory of what others make a process remember.

What was noted longest ago goes first. That is no `lru_cache`: reading says nothing about age, and costs what reading a
dictionary does. Where what is used should stay, its reader says so: `bounded.move_to_end(key)`. An ordered dictionary,
since finding the oldest of a plain one takes the longer the more were dropped before it.
"""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(OrderedDict[K, V]):
    """At most `most` entries. However one is noted, it is the newest then."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)
