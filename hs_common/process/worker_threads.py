"""A few threads for work that would hold up the reactor: hashing passwords, scaling pictures.

Rules: the queue is bounded, and who does not fit in is told to come back; the work sees no shared state. Must not know
what the work is.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from hs_common.matrix.errors import limit_exceeded

T = TypeVar("T")

QUEUE_LIMIT = 64  # at 30 ms for a password and two threads this is one second of waiting
RETRY_AFTER_MS = 1_000


class Threads(Protocol):
    """Where slow work runs."""

    def run(self, work: Callable[[], T]) -> Awaitable[T]:
        """The result of `work()`, called in a thread. Raises what it raises; 429 `M_LIMIT_EXCEEDED` if too much
        waits already."""


class WorkerThreads:
    """Threads of this process, started when first needed. `close` waits for work under way."""

    def __init__(self, reactor: Any, size: int, name: str, queue_limit: int = QUEUE_LIMIT) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name=name)
        self._most = size + queue_limit
        self._under_way = 0

    async def run(self, work: Callable[[], T]) -> T:
        """As `Threads.run`."""
        if self._under_way >= self._most:
            raise limit_exceeded(RETRY_AFTER_MS)
        if not self._pool.started:
            self._pool.start()
        self._under_way += 1
        try:
            result: T = await deferToThreadPool(self._reactor, self._pool, work)
            return result
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Ends the threads after what they do now."""
        if self._pool.started:
            self._pool.stop()
