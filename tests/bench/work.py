"""What is measured: a piece of work, done for a slice of time by several lanes, each with one operation in flight."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.bench.http_client import BrokenAnswerError
from tests.bench.matrix_client import RefusedError

ERRORS_LIMIT = 50  # in one slice: beyond it the server is broken and the slice ends
_PAUSE_AFTER_ERROR_S = 0.05
OVERTIME = 5  # work that ends by count may take this many times the time of a slice
FAILURES = (RefusedError, BrokenAnswerError, OSError, TimeoutError)


@dataclass(slots=True)
class Slice:
    """One stretch of time in which a work runs, and what it counts. `moment` tells monotonic seconds."""

    seconds: float
    moment: Callable[[], float] = time.monotonic
    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = self.moment()

    def is_over(self, times: float = 1) -> bool:
        """Whether the time is up, or more went wrong than is bearable."""
        return self.moment() - self.started >= self.seconds * times or self.errors.total() >= ERRORS_LIMIT

    def count(self, since: float, until: float | None = None) -> None:
        """One operation is done that began at that moment, and that counts as done now or at another moment."""
        self.latencies_ms.append(((self.moment() if until is None else until) - since) * 1000)

    def failed(self, error: Exception) -> None:
        """One operation went wrong."""
        self.errors[f"{type(error).__name__}: {error}"[:200]] += 1

    async def timed(self, operation: Awaitable[object]) -> bool:
        """Await one operation and count it, or what went wrong with it; answers whether it went well."""
        before = self.moment()
        try:
            await operation
        except FAILURES as error:
            self.failed(error)
            await asyncio.sleep(_PAUSE_AFTER_ERROR_S)
            return False
        self.count(before)
        return True


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to measure. `before` is done ahead of each slice and not counted."""

    name: str
    operation: str  # what is counted: "event", "answer"
    run: Callable[[Slice], Awaitable[None]]
    before: Callable[[], Awaitable[None]] = _nothing
    slices: int | None = None  # for works that can only be done so often
    idlest: bool = False  # CPU is that of the least busy process of each group
    after: Callable[[], Awaitable[None]] = _nothing  # looks whether all is well; not counted
    watches_memory: bool = False  # the peak of all slices, and what was held before the first


def closed_loop(in_flight: int, step: Callable[[int], Awaitable[object]]) -> Callable[[Slice], Awaitable[None]]:
    """Lanes that each do one operation after the other until the slice is over; `step` gets the lane's number."""

    async def lane(current: Slice, number: int) -> None:
        while not current.is_over():
            await current.timed(step(number))

    async def run(current: Slice) -> None:
        await asyncio.gather(*(lane(current, number) for number in range(in_flight)))

    return run


async def at_pace(current: Slice, per_s: float, lanes: int, step: Callable[[int], Awaitable[object]]) -> int:
    """Begin so many operations a second for a slice, whether or not those before are done, as long as a lane is free;
    then wait for all. `step` gets a lane, and counts what it will. Answers how many were begun.
    """
    free: asyncio.Queue[int] = asyncio.Queue()
    for lane in range(lanes):
        free.put_nowait(lane)
    begun = 0

    async def one(lane: int) -> None:
        await step(lane)
        free.put_nowait(lane)

    async with asyncio.TaskGroup() as under_way:
        while not current.is_over():
            under_way.create_task(one(await free.get()))
            begun += 1
            await asyncio.sleep(max(0.0, current.started + begun / per_s - current.moment()))
    return begun


def counted_loop(
    in_flight: int, count: int, step: Callable[[int, int], Awaitable[object]]
) -> Callable[[Slice], Awaitable[None]]:
    """Lanes that do so many operations in each slice, unless it takes too long; `step` gets the lane and the number."""

    async def run(current: Slice) -> None:
        numbers = iter(range(count))  # shared by the lanes

        async def lane(lane_number: int) -> None:
            for number in numbers:
                if current.is_over(times=OVERTIME):
                    break
                await current.timed(step(lane_number, number))

        await asyncio.gather(*(lane(number) for number in range(in_flight)))

    return run
