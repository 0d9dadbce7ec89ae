"""Runs the processes of a local split: starts them, starts again what dies, stops them in order.

One thread and no reactor: everything it does is to wait. A child that dies again and again is started with growing
pauses, and told of each time.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hs_common.process.child_process import spawn

MASTER = "master"
_LOOK_INTERVAL_S = 0.2
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_STEADY_AFTER_S = 30.0  # a process that lived so long starts again without a pause
_STOP_TIMEOUT_S = 28.0  # workers drain for up to 25 s
_MASTER_STOP_TIMEOUT_S = 15.0  # nobody calls it any more: its last commit, and the hand-over


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the split: what it is called, what it is, where it listens, how it is started."""

    name: str
    role: str
    port: int
    arguments: Sequence[str]


@dataclass(slots=True)
class _Running:
    program: Program
    process: subprocess.Popen[bytes]
    started: float
    pause_s: float = _FIRST_PAUSE_S
    start_again_at: float | None = field(default=None)


class Supervisor:
    """Keeps a list of programs running until it is asked to stop."""

    def __init__(self, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._environment = environment
        self._say = say
        self._running: list[_Running] = []
        self.stopping = threading.Event()

    def start(self, program: Program) -> int:
        """Start one more program; answers its process id."""
        running = _Running(program, self._spawn(program), time.monotonic())
        self._running.append(running)
        return running.process.pid

    def run(self, on_look: Callable[[], None]) -> None:
        """Look after the programs until `stopping` is set; `on_look` is called at each look."""
        while not self.stopping.wait(_LOOK_INTERVAL_S):
            for running in self._running:
                self._look_after(running)
            on_look()

    def stop(self) -> None:
        """Stop all workers together, then the masters that they call."""
        for masters in (False, True):
            deadline = time.monotonic() + (_MASTER_STOP_TIMEOUT_S if masters else _STOP_TIMEOUT_S)
            group = [running for running in self._running if (running.program.role == MASTER) == masters]
            for running in group:
                if running.process.poll() is None:
                    running.process.send_signal(signal.SIGTERM)
            for running in group:
                self._wait(running, deadline)
        self._running.clear()

    def _wait(self, running: _Running, deadline: float) -> None:
        try:
            running.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._say(f"{running.program.name} does not stop and is killed")
            running.process.kill()
            running.process.wait()

    def _look_after(self, running: _Running) -> None:
        now = time.monotonic()
        status = running.process.poll()
        if status is None:
            return
        if running.start_again_at is None:
            running.pause_s = _next_pause(running.pause_s, now - running.started)
            running.start_again_at = now + running.pause_s
            self._say(
                f"{running.program.name} ended ({_in_words(status)}); starting it again in {running.pause_s:.1f} s"
            )
        elif now >= running.start_again_at:
            running.process = self._spawn(running.program)
            running.started = now
            running.start_again_at = None
            self._say(f"{running.program.name} runs again as process {running.process.pid}")

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        return spawn(program.arguments, death_signal=signal.SIGTERM, environment=self._environment)


def _next_pause(pause_s: float, lived_s: float) -> float:
    """Short for a process that ran well, twice the last one for a process that ends at once."""
    return _FIRST_PAUSE_S if lived_s > _STEADY_AFTER_S else min(pause_s * 2, _LONGEST_PAUSE_S)


def _in_words(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
