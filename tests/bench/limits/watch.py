"""What was full while a load ran: the busiest process of each kind, the machine's cores, the longest queue.

Queues are what the processes of ours tell on their metrics' ports, which their command lines name.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.http_client import Address, BrokenAnswerError, Connection
from tests.bench.processes import PROC, Group, Snapshot, Tree

FULL_PROCESS: Final = 0.85
"""Of a core. What is above waits for nothing but this process; the rest goes to whoever shares the core."""
FULL_MACHINE: Final = 0.93
"""Of all cores."""
_LOOK_S = 0.5
_METRICS_PORT = re.compile(rb"--metrics-port\0(\d+)\0")
_QUEUE = re.compile(r'^viaduct_queue_length\{queue="([^"]+)"\} (\S+)$', re.MULTILINE)
_WAITS_FOR_NOTHING = ("waiting syncs",)  # clients that wait for what happens are no queue of work


@dataclass(slots=True)
class Seen:
    """Of one stretch of time: shares of a core by group (the busiest process), the machine's share, queues' peaks."""

    shares: dict[Group, float] = field(default_factory=dict)
    machine: float = 0.0
    queues: dict[str, int] = field(default_factory=dict)
    cpu_ms: float = 0.0  # of all processes of the server

    def full(self) -> str | None:
        """What was full; None if nothing was, and requests only waited for each other."""
        group, share = self.busiest()
        if share >= FULL_PROCESS:
            return f"{group} (one process at {share:.0%} of a core)"
        if self.machine >= FULL_MACHINE:
            return f"the machine's cores ({self.machine:.0%}; most of it {group}, {share:.0%} of one)"
        return None

    def busiest(self) -> tuple[Group, float]:
        """The group with the busiest process, and its share of a core."""
        return max(self.shares.items(), key=lambda one: one[1], default=("nothing", 0.0))

    def longest_queue(self) -> tuple[str, int]:
        """Its name and length."""
        return max(self.queues.items(), key=lambda one: one[1], default=("none", 0))


def shares_of(before: Snapshot, after: Snapshot, seconds: float) -> dict[Group, float]:
    """By group, the share of a core that its busiest process had."""
    found: dict[Group, float] = {}
    for (group, process_id), cpu_ms in after.items():
        share = (cpu_ms - before.get((group, process_id), 0.0)) / 1000 / seconds
        found[group] = max(found.get(group, 0.0), share)
    return found


def machine_times(stat: str) -> tuple[float, float]:
    """(busy, all) ticks of all cores since their start, from /proc/stat."""
    fields = [int(number) for number in stat.split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


class Watch:
    """Looks at the processes of one server."""

    def __init__(self, tree: Tree, proc: Path = PROC) -> None:
        self._tree = tree
        self._proc = proc

    @asynccontextmanager
    async def during(self) -> AsyncIterator[Seen]:
        """What is seen while the body runs is there when it ends."""
        seen = Seen()
        before, busy_before, began_s = self._tree.cpu(), self._machine(), time.monotonic()
        looking = asyncio.create_task(self._look(seen))
        try:
            yield seen
        finally:
            looking.cancel()
            after, busy_after, seconds = self._tree.cpu(), self._machine(), time.monotonic() - began_s
            seen.shares = shares_of(before, after, seconds)
            seen.cpu_ms = sum(after.values()) - sum(before.values())
            seen.machine = (busy_after[0] - busy_before[0]) / max(1, busy_after[1] - busy_before[1])

    def memory_mib(self) -> float:
        """The resident memory of all processes; that which several share is counted once where the kernel tells."""
        every = [memory for group in self._tree.memory().values() for memory in group]
        return sum(memory.resident if memory.proportional is None else memory.proportional for memory in every)

    async def _look(self, seen: Seen) -> None:
        doors = self._doors()
        while True:
            for group, connection in doors:
                with suppress(BrokenAnswerError, OSError, TimeoutError):
                    answer = await connection.request("GET", "/metrics", timeout_s=_LOOK_S * 10)
                    for name, length in queues_of(answer.body.decode()).items():
                        seen.queues[f"{group}: {name}"] = max(length, seen.queues.get(f"{group}: {name}", 0))
            await asyncio.sleep(_LOOK_S)

    def _doors(self) -> list[tuple[Group, Connection]]:
        found = []
        for group, process_id in self._tree.members():
            with suppress(OSError):
                port = _METRICS_PORT.search((self._proc / str(process_id) / "cmdline").read_bytes())
                if port is not None:
                    found.append((group, Connection(Address(f"http://127.0.0.1:{int(port[1])}"))))
        return found

    def _machine(self) -> tuple[float, float]:
        return machine_times((self._proc / "stat").read_text())


def queues_of(exposition: str) -> Mapping[str, int]:
    """Queues in which work waits, by name, from a process' metrics."""
    found = ((name, int(float(length))) for name, length in _QUEUE.findall(exposition))
    return {name: length for name, length in found if length and name not in _WAITS_FOR_NOTHING}
