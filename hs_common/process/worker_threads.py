"""A few threads for work that would hold up the reactor: hashing passwords, scaling pictures, waiting for a disk.

Rules: the queue is bounded, and who does not fit in is told to come back; the work sees no shared state. Must not know
what the work is.

Twisted's own pool hands each piece of work through three layers of locks and logging contexts, which costs as much as
opening a file; here it is one queue of the interpreter's own there, and the reactor's call back.
"""

import threading
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from hs_common.matrix.errors import limit_exceeded

T = TypeVar("T")

QUEUE_LIMIT = 64  # at 30 ms for a password and two threads this is one second of waiting
RETRY_AFTER_MS = 1_000

_Job = tuple[Callable[[], Any], "Deferred[Any]"]


class Threads(Protocol):
    """Where slow work runs."""

    def run(self, work: Callable[[], T]) -> Awaitable[T]:
        """The result of `work()`, called in a thread. Raises what it raises; 429 `M_LIMIT_EXCEEDED` if too much
        waits already."""


class WorkerThreads:
    """Threads of this process, started when first needed. `close` waits for work under way."""

    def __init__(self, reactor: Any, size: int, name: str, queue_limit: int = QUEUE_LIMIT) -> None:
        self._reactor = reactor
        self._size = size
        self._name = name
        self._most = size + queue_limit
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0  # also what nobody waits for any more: it takes a thread all the same

    async def run(self, work: Callable[[], T]) -> T:
        """As `Threads.run`."""
        if self._under_way >= self._most:
            raise limit_exceeded(RETRY_AFTER_MS)
        self._under_way += 1
        if self._under_way > len(self._threads) < self._size:
            self._start()
        done: Deferred[T] = Deferred()
        self._jobs.put((work, done))
        return await done

    def close(self) -> None:
        """Ends the threads after what they do now, and what waits for them."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join()

    def _start(self) -> None:
        # Not waited for by an interpreter that ends without `close`: it is ending because something broke.
        thread = threading.Thread(target=self._work_on, name=f"{self._name} {len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work_on(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            try:
                result = work()
            except BaseException as error:
                self._reactor.callFromThread(self._failed, done, error)
            else:
                self._reactor.callFromThread(self._succeeded, done, result)
                del result
            del job, work, done  # what they hold is let go now, not when the next work comes

    def _succeeded(self, done: "Deferred[T]", result: T) -> None:
        self._under_way -= 1
        done.callback(result)

    def _failed(self, done: "Deferred[Any]", error: BaseException) -> None:
        self._under_way -= 1
        done.errback(error)
