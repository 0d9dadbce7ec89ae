"""What is being done at the moment, by key: once, however many want it; they go on when it has ended.

The end says nothing of what came of it: whoever waited for it looks again at what he wanted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

K = TypeVar("K")


class UnderWay(Generic[K]):
    """The keys of what is under way, and who waits for its end."""

    def __init__(self) -> None:
        self._waiting: dict[K, list[Deferred[None]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: K) -> bool:
        return key in self._waiting

    async def end_of(self, key: K) -> None:
        """Returns when what is under way has ended, well or not; at once if nothing is."""
        if key in self._waiting:
            ended: Deferred[None] = Deferred()
            self._waiting[key].append(ended)
            await ended

    @contextmanager
    def begun(self, key: K) -> Iterator[None]:
        """It is under way within the block."""
        assert key not in self._waiting, f"{key!r} is under way already"
        waiting = self._waiting[key] = []
        try:
            yield
        finally:
            del self._waiting[key]
            for ended in waiting:
                ended.callback(None)
