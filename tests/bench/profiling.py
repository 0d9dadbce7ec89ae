"""Where the time goes inside one process: py-spy beside a slice, and what it saw as a list of the dearest places.

py-spy is no dependency of the project: `pip install py-spy` into the environment. The parsing is pure.
"""

import asyncio
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.servers import Server

_SAMPLES_PER_S = 250  # each stops the process for a moment
_WARM_UP_S = 1.0  # py-spy reads the interpreter's symbols first
_WRITE_TIMEOUT_S = 30.0
_SHOWN = 40
_WAITING = ("Condition.wait threading.py", "wait threading.py", "EPollReactor.doPoll ", "doPoll ")
_FRAME = re.compile(r"^(?P<function>.*) \((?P<place>[^()]*)\)$")

Stacks = Counter[tuple[str, ...]]


class ProfilerMissingError(Exception):
    """py-spy is not installed."""

    def __str__(self) -> str:
        return f"py-spy is missing: {sys.executable} -m pip install py-spy"


@dataclass(frozen=True, slots=True)
class Hot:
    """One place: the share of samples in which it is the innermost frame, and in which it is anywhere."""

    place: str
    own: float
    total: float


def parse_stacks(text: str) -> Stacks:
    """py-spy's raw format: frames from the outermost, separated by `;`, then the number of samples."""
    stacks: Stacks = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        if frames:
            stacks[tuple(_short(frame) for frame in frames.split(";"))] += int(count)
    return stacks


def hottest(stacks: Stacks, key: Callable[[str], str]) -> list[Hot]:
    """The places by their own share, then by their total; `key` says which frames are one place."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for frames, count in stacks.items():
        own[key(frames[-1])] += count
        for place in {key(frame) for frame in frames}:
            total[place] += count
    samples = stacks.total() or 1
    found = [Hot(place, own[place] / samples, count / samples) for place, count in total.items()]
    return sorted(found, key=lambda hot: (-hot.own, -hot.total, hot.place))


def at_work(stacks: Stacks) -> Stacks:
    """Without the samples in which a thread waited: for events, or for something to do."""
    return Counter({frames: count for frames, count in stacks.items() if not frames[-1].startswith(_WAITING)})


def by_module(frame: str) -> str:
    """One place is a folder of modules."""
    path = frame.rpartition(" ")[2]
    return path.rpartition("/")[0] or path


def by_function(frame: str) -> str:
    """One place is a function: the line is left out."""
    return frame.rpartition(":")[0] or frame


def by_line(frame: str) -> str:
    """One place is a line."""
    return frame


def report(stacks: Stacks) -> str:
    """Folders, functions and lines by the time spent in them, without the waiting."""
    samples = stacks.total()
    stacks = at_work(stacks)
    functions = hottest(stacks, by_function)
    lines = hottest(stacks, by_line)
    parts = [
        ("folders by own time", hottest(stacks, by_module)[:_SHOWN]),
        ("functions by own time", functions[:_SHOWN]),
        ("functions by total time", sorted(functions, key=lambda hot: -hot.total)[: 2 * _SHOWN]),
        ("lines by own time", lines[:_SHOWN]),
    ]
    text = [f"{samples} samples, {stacks.total()} of them at work; shares are of these"]
    for title, hots in parts:
        text += ["", f"{title}:", "    own  total"]
        text += [f"  {hot.own:5.1%} {hot.total:5.1%}  {hot.place}" for hot in hots if hot.total >= 0.005]
    return "\n".join(text) + "\n"


def _short(frame: str) -> str:
    """`function (/long/path/package/file.py:12)` as `function package/file.py:12`."""
    found = _FRAME.match(frame)
    if not found:
        return frame
    return f"{found['function']} {'/'.join(Path(found['place']).parts[-3:])}"


class Profile:
    """Profiles the busiest process of a group during each slice; files go to a folder."""

    def __init__(self, group: str, folder: Path, say: Callable[[str], None]) -> None:
        program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
        if program is None:
            raise ProfilerMissingError
        self._program = program
        self.group = group
        self._folder = folder
        self._say = say
        folder.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def during(self, work: str, server: Server) -> AsyncIterator[None]:
        """Sample while the body runs, then write the stacks and the report; slices of one work add up."""
        process_id = self._busiest(server)
        if process_id is None:
            yield
            return
        name = re.sub(r"\W+", "-", f"{server.name}-{work}-{self.group}")
        raw = self._folder / f"{name}.latest"
        profiler = await asyncio.create_subprocess_exec(
            *(self._program, "record", "--pid", str(process_id), "--rate", str(_SAMPLES_PER_S)),
            *("--format", "raw", "--output", str(raw), "--duration", "unlimited"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await asyncio.sleep(_WARM_UP_S)
        try:
            yield
        finally:
            if profiler.returncode is None:
                profiler.send_signal(signal.SIGINT)
            await asyncio.wait_for(profiler.wait(), _WRITE_TIMEOUT_S)
        self._write(self._folder / f"{name}.txt", raw)

    def _busiest(self, server: Server) -> int | None:
        snapshot = server.tree.cpu() if server.tree else {}
        processes = [(cpu_ms, process_id) for (group, process_id), cpu_ms in snapshot.items() if group == self.group]
        if not processes:
            groups = ", ".join(sorted({group for group, _ in snapshot}))
            self._say(f"no process of the group {self.group} to profile; there are: {groups}")
            return None
        return max(processes)[1]

    def _write(self, path: Path, raw: Path) -> None:
        if not raw.exists():
            self._say("py-spy wrote nothing; does it have the right to read the process?")
            return
        collected = raw.with_suffix(".stacks")
        with collected.open("a") as file:
            file.write(raw.read_text())
        raw.unlink()
        path.write_text(report(parse_stacks(collected.read_text())))
        self._say(f"profile: {path}")
