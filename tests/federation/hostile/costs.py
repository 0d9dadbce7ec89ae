"""What an attack cost: CPU time of all processes of the server beside the attacker's, and how far memory grew.

What the server takes when nobody asks anything is measured first and taken off. The attacker is this process: what it
takes to compose, sign and send is its own, and so is what it takes to answer.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.bench.processes import Group, Memory, Root, Tree

REST_S: Final = 0.5
REST_SHARE: Final = 0.06
"""Of a core above what it takes idle: below, the server has come to rest."""
REST_LIMIT_S: Final = 60.0
IDLE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one attack. CPU in ms of each request; memory in MiB, of the process whose memory grew most."""

    requests: int
    ours_ms: float
    theirs_ms: float
    grown_mib: float
    grown: str
    peak_mib: float


class Costs:
    """Of one server, whose first process is given; without it nothing is measured."""

    def __init__(self, process_id: int | None) -> None:
        self._tree = None if process_id is None else Tree([Root(process_id)])
        self._idle = 0.0
        self.last: Cost | None = None

    def learn_idle(self) -> None:
        """Looks how much the server takes when there is nothing to do."""
        before = self._cpu_ms()
        time.sleep(IDLE_S)
        self._idle = (self._cpu_ms() - before) / (IDLE_S * 1000)

    @contextmanager
    def counted(self, requests: int) -> Iterator[None]:
        """What happens within, and until the server rests."""
        self.last = None
        if self._tree is None:
            yield
            return
        before = self._memory()
        self._tree.reset_peaks()
        began, ours, theirs = time.monotonic(), self._cpu_ms(), time.process_time()
        yield
        watching = time.thread_time()
        self._rest()
        watching = time.thread_time() - watching
        theirs = (time.process_time() - watching - theirs) * 1000
        ours = self._cpu_ms() - ours - self._idle * (time.monotonic() - began) * 1000
        peaks = self._memory()
        grown, group = max((peaks[group].peak - before[group].resident, group) for group in peaks if group in before)
        self.last = Cost(requests, max(ours, 0.0) / requests, theirs / requests, grown, group, peaks[group].peak)

    def _rest(self) -> None:
        deadline = time.monotonic() + REST_LIMIT_S
        while time.monotonic() < deadline:
            before = self._cpu_ms()
            time.sleep(REST_S)
            if self._cpu_ms() - before < (self._idle + REST_SHARE) * REST_S * 1000:
                return

    def _cpu_ms(self) -> float:
        return 0.0 if self._tree is None else sum(self._tree.cpu().values())

    def _memory(self) -> dict[Group, Memory]:
        """Of the largest process of each group. The database's memory is mostly its cache, shared by its processes."""
        assert self._tree is not None
        found = self._tree.memory()
        return {group: max(every, key=lambda one: one.peak) for group, every in found.items() if group != "postgres"}
