"""The local split's supervisor: what dies is started again, and what runs is stopped in order."""

import os
import signal
import sys
import time
from pathlib import Path

from hs_common.process.child_process import is_alive
from hs_common.process.supervisor import MASTER, Program, Supervisor, _next_pause

_PATIENCE_S = 30.0

# Writes its name to the shared file when told to end.
_PROGRAM = """
import signal, sys, time
def end(*_):
    with open(sys.argv[2], "a") as file: file.write(sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[2] + "." + sys.argv[1], "w").close()
time.sleep(600)
"""


def program(name: str, role: str, record: Path) -> Program:
    return Program(name, role, 0, [sys.executable, "-c", _PROGRAM, name, str(record)])


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.01)


def test_masters_are_stopped_after_those_who_call_them(tmp_path: Path) -> None:
    record = tmp_path / "record"
    supervisor = Supervisor(os.environ, lambda text: None)
    started = [supervisor.start(program(name, role, record)) for name, role in (("m", MASTER), ("w", "client"))]
    for name in ("m", "w"):
        wait_for(tmp_path / f"record.{name}")
    supervisor.stop()
    assert record.read_text().split() == ["w", "m"]
    assert not any(is_alive(process_id) for process_id in started)


def test_killed_program_is_started_again_and_told_of(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(os.environ, said.append)
    first = supervisor.start(program("w", "client", tmp_path / "record"))
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            os.kill(first, signal.SIGKILL)
        if any("runs again" in text for text in said) or looks > 300:
            supervisor.stopping.set()

    supervisor.run(look)
    supervisor.stop()
    assert "w ended (SIGKILL)" in said[0]
    assert "w runs again as process" in said[1]


def test_pauses_grow_for_what_does_not_live_and_start_over_for_what_did() -> None:
    assert _next_pause(0.2, lived_s=0.1) == 0.4
    assert _next_pause(4.0, lived_s=0.1) == 5.0
    assert _next_pause(5.0, lived_s=60.0) == 0.2
