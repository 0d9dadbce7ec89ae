"""Stands for the `docker` command where `deploy/upgrade` is tested: containers are entries of a file, and each call is
noted. Run with the folder of that file as its first argument.

What it does not know ends it with an error, so that a call which real Docker would understand otherwise is seen.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

UP_OPTIONS: Final = [
    *("--detach", "--no-build", "--no-deps", "--no-recreate", "--wait", "--scale"),
]
"""As Compose is told what not to touch."""


def main(folder: Path, arguments: list[str]) -> int:
    """One call; answers its exit status."""
    path = folder / "state.json"
    state: dict[str, Any] = json.loads(path.read_text())
    call = " ".join(arguments)
    state["calls"].append(call)
    interruption = state["interrupt"]
    is_interrupted = interruption is not None and call.startswith(interruption)
    status = 0
    if not is_interrupted or state["interrupt_after"]:
        status = run(state, arguments)
    if is_interrupted:
        state["interrupt"] = None
    path.write_text(json.dumps(state))
    if is_interrupted:
        os.kill(os.getppid(), signal.Signals[state["signal"]])
        return 130
    return status


def run(state: dict[str, Any], arguments: list[str]) -> int:
    """What the call does to the containers."""
    containers: dict[str, dict[str, Any]] = state["containers"]
    match arguments:
        case ["compose", "build"] | ["compose", "run", "--rm", "--no-deps", "migrate"]:
            pass
        case ["compose", "ps", "--quiet", role]:
            for name, container in containers.items():
                if container["role"] == role and container["runs"]:
                    sys.stdout.write(f"{name}\n")
        case ["compose", "rm", "--force", role]:
            for name in [name for name, one in containers.items() if one["role"] == role and not one["runs"]]:
                del containers[name]
        case ["compose", "up", *options, scale, role]:
            assert options == UP_OPTIONS, options
            return scale_up(state, role, int(scale.removeprefix(f"{role}=")))
        case ["stop", *names]:
            for name in names:
                containers[name]["runs"] = False
        case ["rm", *names]:
            for name in names:
                assert not containers[name]["runs"], "docker rm refuses what runs"
                del containers[name]
        case _:
            sys.stderr.write(f"docker: unknown: {arguments}\n")
            return 1
    return 0


def scale_up(state: dict[str, Any], role: str, wanted: int) -> int:
    """Starts those that are missing. 1 if one of them does not get ready."""
    containers = state["containers"]
    there = [container for container in containers.values() if container["role"] == role]
    assert len(there) <= wanted, "Compose would end some, of its own choice"
    assert all(container["runs"] for container in there), "Compose would start again what has ended"
    is_ready = role not in state["broken"]
    for _ in range(wanted - len(there)):
        state["last"] += 1
        containers[f"new{state['last']}"] = {"role": role, "runs": True, "ready": is_ready}
    return 0 if is_ready else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
