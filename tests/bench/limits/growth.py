"""Growing a server step by step: more ghosts, all of them in one room, more rooms, more messages in flight at once.

Each step says what an operation cost and what was full meanwhile, so that it is seen what gives way first.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from tests.bench.bridge import Bridge, Ghost
from tests.bench.calibration import Metronome
from tests.bench.figures import as_on_a_quiet_core, percentile
from tests.bench.limits.amount import Amount
from tests.bench.limits.sender import Sender, Tally, load
from tests.bench.limits.watch import Seen, Watch
from tests.bench.together import persistently

LANES = 32
"""In which ghosts are registered, joined and given rooms."""
STILL_RISING = 1.1
"""A rate that is not higher than the best so far by this factor has stopped rising."""
FEWEST_STEPS = 3
"""Of a slow machine, which may take twice the time for these."""


@dataclass(slots=True)
class Done:
    """One kind of work of a step."""

    count: int
    per_s: float
    cpu_ms: float  # of all processes for one, as on a quiet core
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Step:
    """What a step came to."""

    ghosts: int
    rooms: int
    in_flight: int
    memory_mib: float = 0.0
    works: dict[str, Done] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)


class Growth:
    """A server that grows. `senders` are all that have ever sent, with what they were told. There are never more rooms
    than ghosts."""

    def __init__(self, bridge: Bridge, watch: Watch | None, metronome: Metronome, quiet_us: float) -> None:
        self.senders: list[Sender] = []
        self.ghosts: list[Ghost] = []
        self.rooms: list[str] = []
        self._bridge = bridge
        self._watch = watch
        self._metronome = metronome
        self._quiet_us = quiet_us
        self._bot: Ghost | None = None
        self._lanes = [bridge.connection() for _ in range(LANES)]

    async def step(self, ghosts: int, rooms: int, in_flight: int, seconds: float) -> Step:
        """Grow to so many, then send for so long."""
        step = Step(ghosts, rooms, in_flight)
        if self._bot is None:
            self._bot = await self._bridge.bot()
            self.rooms.append(await self._bot.create_room())  # the one that all join
        known, had = len(self.ghosts), len(self.rooms)
        await self._measured(step, "register", ghosts - known, self._register)
        await self._measured(step, "join", ghosts - known, lambda lane, number: self._join(lane, known + number))
        self.rooms += [""] * (rooms - had)
        await self._measured(step, "room", rooms - had, lambda lane, number: self._make_room(lane, had + number))
        senders = self.make_senders(in_flight)
        watching = nullcontext(Seen()) if self._watch is None else self._watch.during()
        began_s = time.monotonic()
        async with watching as seen:
            took_s = await load(senders, seconds, step.tally)
        step.works["send"] = self._done(step.tally.latencies_ms, took_s, seen, began_s)
        step.seen["send"] = seen
        step.memory_mib = 0.0 if self._watch is None else self._watch.memory_mib()
        return step

    def make_senders(self, count: int) -> list[Sender]:
        """Ghosts who send, room by room, the big one included; each has a connection."""
        made = []
        for number in range(count):
            place = number % len(self.rooms)
            ghost = self.ghosts[place].on(self._bridge.connection())
            made.append(Sender(ghost, self.rooms[place], f"s{len(self.senders) + number}"))
        self.senders += made
        return made

    async def _measured(self, step: Step, name: str, count: int, act: Callable[[int, int], Awaitable[Any]]) -> None:
        """So many in some lanes; `act` gets the lane and the number."""
        if count <= 0:
            return
        numbers, latencies_ms = iter(range(count)), list[float]()

        async def lane(lane_number: int) -> None:
            for number in numbers:
                began_s = time.monotonic()
                await persistently(lambda number=number: act(lane_number, number))  # type: ignore[misc]
                latencies_ms.append((time.monotonic() - began_s) * 1000)

        watching = nullcontext(Seen()) if self._watch is None else self._watch.during()
        began_s = time.monotonic()
        async with watching as seen:
            await asyncio.gather(*(lane(number) for number in range(LANES)))
        step.works[name] = self._done(latencies_ms, time.monotonic() - began_s, seen, began_s)
        step.seen[name] = seen

    def _done(self, latencies_ms: list[float], took_s: float, seen: Seen, began_s: float) -> Done:
        count = len(latencies_ms)
        cpu_ms = as_on_a_quiet_core(seen.cpu_ms, self._metronome.loop_us(began_s), self._quiet_us)
        known = latencies_ms or [0.0]
        return Done(count, count / took_s, cpu_ms / max(1, count), percentile(known, 0.5), percentile(known, 0.99))

    async def _register(self, lane: int, number: int) -> None:
        user_id = await self._bridge.register(self._lanes[lane])
        self.ghosts.append(self._bridge.ghost(user_id, self._lanes[lane]))

    async def _join(self, lane: int, number: int) -> None:
        await self.ghosts[number].on(self._lanes[lane]).join(self.rooms[0])

    async def _make_room(self, lane: int, place: int) -> None:
        """A room for the ghost of that place, who sends there."""
        assert self._bot is not None
        room_id = await self._bot.on(self._lanes[lane]).create_room()
        await self.ghosts[place].on(self._lanes[lane]).join(room_id)
        self.rooms[place] = room_id


async def grow(growth: Growth, amount: Amount, say: Callable[[Step], None]) -> list[Step]:
    """Step by step, until the server refuses, or the next step would take too long."""
    ghosts, rooms, in_flight = amount.ghosts, amount.rooms, amount.in_flight
    steps: list[Step] = []
    began_s, took_s = time.monotonic(), 0.0

    def is_time_left() -> bool:
        times = 2 if len(steps) < FEWEST_STEPS else 1
        return time.monotonic() - began_s + took_s * amount.factor <= amount.growing_s * times

    while is_time_left():
        step_began_s = time.monotonic()
        steps.append(await growth.step(ghosts, rooms, in_flight, amount.sending_s))
        say(steps[-1])
        took_s = time.monotonic() - step_began_s
        if steps[-1].tally.refused or steps[-1].tally.faults:
            break
        ghosts, rooms = ghosts * amount.factor, rooms * amount.factor
        in_flight = min(in_flight * amount.in_flight_factor, amount.most_in_flight)
    return steps


def first_full(steps: list[Step]) -> Step | None:
    """The step in which messages ceased to be sent at a higher rate: more in flight only waited longer from there."""
    best = 0.0
    for before, step in zip([None, *steps], steps, strict=False):
        rate = step.works["send"].per_s
        if rate < best * STILL_RISING:
            return before or step
        best = max(best, rate)
    return None
