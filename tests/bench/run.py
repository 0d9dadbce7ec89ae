"""One run: prepares each scenario on each target, measures slices in turn, writes down what was found.

With several targets a slice of one follows a slice of the other, so that a disturbed minute disturbs both.
"""

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tests.bench.calibration import Metronome
from tests.bench.database import size_bytes
from tests.bench.population import Population
from tests.bench.processes import Memory, Snapshot, Tree, cpu_between, idlest_between
from tests.bench.profiling import Profile
from tests.bench.results import FORMAT, Measurement, ProcessMemory, SliceResult, summary
from tests.bench.scenarios import SCENARIOS
from tests.bench.scenarios.sliding import WINDOW, first_asker, first_window
from tests.bench.servers import Server, StartedServer
from tests.bench.size import Size
from tests.bench.work import Slice, Work

_SETTLE_S = 0.1  # followers finish what they do after the last answer; it belongs to the slice
_WARM_UP_S = 0.5
_CALM_S = 2.0  # what a start leaves to do is done
_SHORTEST_CALIBRATION_S = 0.3
_SLICE_TIMEOUT_S = 300.0  # what ends by count may take long on a slow server
_BEFORE_TIMEOUT_S = 3_000.0
_SCENARIO_TIMEOUT_S = 3_600.0  # preparing on a slow server


class Run:
    """Everything that a run needs and finds. `say` shows progress."""

    def __init__(self, size: Size, metronome: Metronome, say: Callable[[str], None], profile: Profile | None) -> None:
        self.measurements: list[Measurement] = []
        self.memory: dict[str, list[ProcessMemory]] = {}
        self.failures: list[str] = []
        self._size = size
        self._metronome = metronome
        self._say = say
        self._profile = profile

    async def scenario(self, name: str, servers: Sequence[Server], populations: Sequence[Population]) -> None:
        """Prepare and measure one scenario on every target; what fails is written down, and the run goes on."""
        await self.works(name, [SCENARIOS[name](population, self._size) for population in populations], servers)

    async def works(self, name: str, preparing: Sequence[Awaitable[Sequence[Work]]], servers: Sequence[Server]) -> None:
        """The same of works that are prepared otherwise."""
        try:
            async with asyncio.timeout(_SCENARIO_TIMEOUT_S):
                self._say(f"{name}: preparing")
                prepared = [await one for one in preparing]
                for works in zip(*prepared, strict=True):
                    await self._compare(works, servers)
        except* Exception as errors:
            first = errors.exceptions[0]
            while isinstance(first, ExceptionGroup):
                first = first.exceptions[0]
            self.failures.append(f"{name}: {type(first).__name__}: {first}")
            self._say(self.failures[-1])

    async def _compare(self, works: Sequence[Work], servers: Sequence[Server]) -> None:
        """The same work on every target, slice by slice in turn."""
        found = [Measurement(s.name, work.name, work.operation) for s, work in zip(servers, works, strict=True)]
        self.measurements += found
        if works[0].slices is None:
            for work in works:
                await self._warm_up(work)
        for _ in range(works[0].slices or self._size.slices):
            for measurement, work, server in zip(found, works, servers, strict=True):
                await self._measure(measurement, work, server)
        for measurement in found:
            errors = f", {measurement.errors.total()} ERRORS" if measurement.errors else ""
            self._say(f"{measurement.work} [{measurement.target}]: {len(measurement.latencies_ms)} done{errors}")

    async def _warm_up(self, work: Work) -> None:
        """Connections, plans and caches are those of a server in use. What fails now fails again when it counts."""
        await work.before()
        async with asyncio.timeout(_SLICE_TIMEOUT_S):
            await work.run(Slice(min(_WARM_UP_S, self._size.seconds)))

    async def _measure(self, measurement: Measurement, work: Work, server: Server) -> None:
        async with asyncio.timeout(_BEFORE_TIMEOUT_S):
            await work.before()
        await asyncio.sleep(_SETTLE_S)
        before_all = f"before {work.name}"
        if work.watches_memory and server.tree is not None and f"{server.name}, {before_all}" not in self.memory:
            self.remember_memory(server, before_all)  # of several slices the first: later ones find memory grown
            server.tree.reset_peaks()
        held = held_bytes(server)
        before, own_before, began = snapshot(server.tree), time.process_time(), time.monotonic()
        current = Slice(self._size.seconds)
        profiled = self._profile.during(work.name, server) if self._profile else _unprofiled()
        async with profiled, asyncio.timeout(_SLICE_TIMEOUT_S):
            await work.run(current)
        seconds = time.monotonic() - began
        await asyncio.sleep(max(_SETTLE_S, _SHORTEST_CALIBRATION_S - seconds))
        spent = idlest_between if work.idlest else cpu_between
        measurement.slices.append(
            SliceResult(
                seconds=seconds,
                operations=len(current.latencies_ms),
                cpu_ms=spent(before, snapshot(server.tree)),
                generator_cpu_ms=(time.process_time() - own_before) * 1000,
                loop_us=self._metronome.loop_us(began),
            )
        )
        if held is not None:
            measurement.database_bytes = (measurement.database_bytes or 0) + (held_bytes(server) or held) - held
        measurement.latencies_ms += current.latencies_ms
        measurement.errors += current.errors
        if work.watches_memory:
            self.remember_memory(server, f"after {work.name}")
        await work.after()

    def document(self, servers: Sequence[Server], quiet_us: float) -> dict[str, Any]:
        """All that was found, for files and tables."""
        return {
            "format": FORMAT,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "size": self._size.name,
            "profiled": None if self._profile is None else self._profile.group,
            "quiet_loop_us": quiet_us,
            "targets": [server.name for server in servers],
            "results": [summary(measurement, quiet_us) for measurement in self.measurements],
            "memory": {when: [asdict(group) for group in groups] for when, groups in self.memory.items()},
            "failures": self.failures,
        }

    def remember_memory(self, server: Server, when: str) -> None:
        """Write down what each group of processes holds."""
        if server.tree is not None:
            self.memory[f"{server.name}, {when}"] = [
                summed(group, each) for group, each in server.tree.memory().items()
            ]

    async def start(self, server: StartedServer) -> None:
        """Stop and start a server that holds data; the CPU is that of all its processes until the first answer."""
        measurement = Measurement(server.name, "start on existing data", "start")
        self.measurements.append(measurement)
        for _ in range(self._size.starts):
            await server.stop()
            began, own_before = time.monotonic(), time.process_time()
            seconds = await server.start()
            spent = cpu_between({}, snapshot(server.tree))
            await asyncio.sleep(_SHORTEST_CALIBRATION_S)
            loop_us = self._metronome.loop_us(began)
            own_ms = (time.process_time() - own_before) * 1000
            measurement.slices.append(SliceResult(seconds, 1, spent, own_ms, loop_us))
            measurement.latencies_ms.append(seconds * 1000)

    async def first_window(self, server: StartedServer, population: Population) -> None:
        """The first answer of sliding sync that a server gives after a start, to somebody in very many rooms."""
        asker = await first_asker(population, self._size)
        name = f"sliding-sync, first {WINDOW} of {self._size.sliding_rooms} rooms, the first after a start"
        measurement = Measurement(server.name, name, "answer")
        self.measurements.append(measurement)
        for _ in range(self._size.starts):
            await server.stop()
            await server.start()
            await asyncio.sleep(_CALM_S)
            client = asker.another()
            before, own_before, began = snapshot(server.tree), time.process_time(), time.monotonic()
            await client.fetch_sliding_sync(first_window(0))
            seconds = time.monotonic() - began
            await asyncio.sleep(_SHORTEST_CALIBRATION_S)
            spent, loop_us = cpu_between(before, snapshot(server.tree)), self._metronome.loop_us(began)
            own_ms = (time.process_time() - own_before) * 1000
            measurement.slices.append(SliceResult(seconds, 1, spent, own_ms, loop_us))
            measurement.latencies_ms.append(seconds * 1000)
            client.close()

    async def idle(self, server: Server) -> None:
        """What a server that has nothing to do costs in a second."""
        await asyncio.sleep(self._size.idle_seconds / 3)  # what follows a start
        measurement = Measurement(server.name, "idle", "second")
        before, began = snapshot(server.tree), time.monotonic()
        await asyncio.sleep(self._size.idle_seconds)
        seconds = time.monotonic() - began
        spent = {group: ms / seconds for group, ms in cpu_between(before, snapshot(server.tree)).items()}
        measurement.slices.append(SliceResult(1.0, 1, spent, 0.0, self._metronome.loop_us(began)))
        self.measurements.append(measurement)
        self.remember_memory(server, "idle")


@asynccontextmanager
async def _unprofiled() -> AsyncIterator[None]:
    yield


def held_bytes(server: Server) -> int | None:
    """What its database holds; None if we cannot look."""
    return None if server.database_url is None else size_bytes(server.database_url)


def snapshot(tree: Tree | None) -> Snapshot:
    """CPU so far; nothing for a server whose processes are not known."""
    return {} if tree is None else tree.cpu()


def summed(group: str, processes: Sequence[Memory]) -> ProcessMemory:
    """The memory of a group: the largest process, and the proportional sum, as shared pages are shared."""
    known = [memory.proportional for memory in processes if memory.proportional is not None]
    return ProcessMemory(
        group=group,
        processes=len(processes),
        resident=max(memory.resident for memory in processes),
        peak=max(memory.peak for memory in processes),
        proportional=sum(known) if len(known) == len(processes) else None,
    )
