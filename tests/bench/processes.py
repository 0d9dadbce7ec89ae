"""What the processes of a server cost: CPU time and memory from /proc, by group (master, client, sync, postgres, …).

A server is a tree of processes below one or more roots. CPU time is the scheduler's own count in nanoseconds where the
kernel tells it, plus that of children that have ended, so that a database backend that goes away is still counted. It
must not know HTTP.
"""

import math
import os
import re
import resource
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KIB = 1024
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)

# The first pattern found in the command line names the group. Ours, then Synapse's, then the services of both.
_GROUPS = (
    (re.compile(r"hs_common\.process\.command_line up\b.*--split"), "supervisor"),
    (re.compile(r"hs_common\.process\.command_line up\b"), "all-in-one"),
    (re.compile(r"(?:hs_common\.process\.command_line|/viaduct) (master)\b"), ""),
    (re.compile(r"(?:hs_common\.process\.command_line|/viaduct) worker ([\w -]+?)(?: --|$)"), ""),
    (re.compile(r"hs_workers\.media\.thumbnail_process\b"), "thumbnails"),
    (re.compile(r"synapse\.app\.homeserver"), "main"),
    (re.compile(r"synapse\.app\.generic_worker\b.*/worker-([a-z]+)\d*\.yaml"), ""),
    (re.compile(r"synapse\.app\.\w+"), "worker"),
    (re.compile(r"\bpostgres\b"), "postgres"),
    (re.compile(r"redis-server|valkey-server"), "redis"),
    (re.compile(r"haproxy|nginx|caddy"), "proxy"),
)

Group = str


@dataclass(frozen=True, slots=True)
class Root:
    """A process whose whole tree is measured; `group` overrides what the command lines say."""

    process_id: int
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process or the sum of several, in MiB; None where the kernel does not tell us."""

    resident: float
    peak: float
    proportional: float | None


Snapshot = Mapping[tuple[Group, int], float]  # (group, process id) -> CPU ms since its start


def group_of(command_line: str) -> Group:
    """The group that a command line belongs to; its program's name when it is none of those known."""
    for pattern, name in _GROUPS:
        if found := pattern.search(command_line):
            return name or "+".join(found.group(1).split())
    return os.path.basename(command_line.split(" ", 1)[0]) or "unknown"


def family(roots: Iterable[int], parents: Mapping[int, int]) -> list[int]:
    """The roots and all that descends from them; `parents` is child -> parent."""
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found: dict[int, None] = {}
    queue = list(roots)
    while queue:
        process_id = queue.pop(0)
        if process_id not in found:
            found[process_id] = None
            queue += sorted(children.get(process_id, []))
    return list(found)


def cpu_between(before: Snapshot, after: Snapshot) -> dict[Group, float]:
    """CPU ms by group between two snapshots. What a vanished process had used is in its parent's count by then."""
    spent: dict[Group, float] = {}
    for sign, snapshot in ((1, after), (-1, before)):
        for (group, _), cpu_ms in snapshot.items():
            spent[group] = spent.get(group, 0.0) + sign * cpu_ms
    return spent


def idlest_between(before: Snapshot, after: Snapshot) -> dict[Group, float]:
    """CPU ms by group, of its least busy process that was there all the time."""
    spent: dict[Group, float] = {}
    for (group, process_id), cpu_ms in after.items():
        if (earlier := before.get((group, process_id))) is not None:
            spent[group] = min(spent.get(group, math.inf), cpu_ms - earlier)
    return spent


def parse_stat(text: str) -> tuple[int, float, float]:
    """(parent, own CPU ms, CPU ms of ended children) from /proc/ID/stat, whose second field may hold anything."""
    fields = text[text.rindex(")") + 2 :].split()
    user, system, children_user, children_system = (int(field) for field in fields[11:15])
    tick_ms = 1000 / _TICKS_PER_S
    return int(fields[1]), (user + system) * tick_ms, (children_user + children_system) * tick_ms


def parse_kib(text: str, name: str) -> float | None:
    """A line such as `VmHWM:   1234 kB` in MiB; None when it is missing."""
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) / _KIB if found else None


class Tree:
    """The processes below some roots, looked at anew each time."""

    def __init__(self, roots: Iterable[Root], proc: Path = PROC) -> None:
        self._roots = tuple(roots)
        self._proc = proc

    def members(self) -> list[tuple[Group, int]]:
        """Every process with its group, roots first."""
        parents = self._parents()
        found: dict[int, Group] = {}
        for root in self._roots:
            for process_id in family([root.process_id], parents):
                if process_id in parents:
                    found.setdefault(process_id, root.group or group_of(self._command_line(process_id)))
        return [(group, process_id) for process_id, group in found.items()]

    def cpu(self) -> Snapshot:
        """What each process has used so far."""
        return {member: cpu_ms for member in self.members() if (cpu_ms := self._cpu_ms(member[1])) is not None}

    def memory(self) -> dict[Group, list[Memory]]:
        """Each process' memory, by group."""
        found: dict[Group, list[Memory]] = {}
        for group, process_id in self.members():
            with suppress(*_GONE):
                memory = self._memory(process_id)
                found.setdefault(group, []).append(memory)
        return found

    def reset_peaks(self) -> None:
        """From now on peaks are those since now, where the kernel lets us."""
        for _, process_id in self.members():
            with suppress(*_GONE):
                (self._proc / str(process_id) / "clear_refs").write_text("5")

    def _parents(self) -> dict[int, int]:
        parents = {}
        for entry in self._proc.iterdir():
            if entry.name.isdigit():
                with suppress(*_GONE):
                    parents[int(entry.name)] = parse_stat((entry / "stat").read_text())[0]
        return parents

    def _command_line(self, process_id: int) -> str:
        try:
            return (self._proc / str(process_id) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except _GONE:
            return ""

    def _cpu_ms(self, process_id: int) -> float | None:
        folder = self._proc / str(process_id)
        try:
            _, own_ms, children_ms = parse_stat((folder / "stat").read_text())
            exact_ms = sum(thread_ns(path) for path in folder.glob("task/*/schedstat")) / 1e6
        except _GONE:
            return None
        return (exact_ms or own_ms) + children_ms

    def _memory(self, process_id: int) -> Memory:
        folder = self._proc / str(process_id)
        status = (folder / "status").read_text()
        try:
            proportional = parse_kib((folder / "smaps_rollup").read_text(), "Pss")
        except PermissionError:
            proportional = None
        return Memory(parse_kib(status, "VmRSS") or 0.0, parse_kib(status, "VmHWM") or 0.0, proportional)


def thread_ns(schedstat: Path) -> int:
    """CPU time of a thread, none of one that has just ended: its process has not, and must not be missing for that."""
    try:
        return int(schedstat.read_text().split()[0])
    except _GONE:
        return 0


def allow_many_connections() -> None:
    """As many open files as we and the processes that we start may have: each waiting client is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
