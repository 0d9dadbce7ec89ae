"""Long-lived child processes that can never outlive us: how the embedded services and the local split are started.

A child gets a session of its own, so that Ctrl-C reaches only the parent, which then stops its children in order;
and the kernel signals it when the parent dies, be it by kill -9. Linux only, as the whole command line is.
Must not know what the child is.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that a child runs as: numeric, so that it is also right where the name does not exist."""

    name: str
    user_id: int
    group_id: int


def spawn(
    arguments: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    identity: Identity | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child that receives `death_signal` when this process ends, however it ends.

    `identity` is the user to become (only root may), None keeps ours; `output` takes stdout and stderr.
    Call it from the main thread: the kernel watches the thread that forked, not the process.
    """
    return subprocess.Popen(
        [str(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        cwd=directory,
        env=None if environment is None else dict(environment),
        start_new_session=True,
        user=None if identity is None else identity.user_id,
        group=None if identity is None else identity.group_id,
        extra_groups=None if identity is None else [],
        preexec_fn=die_with_parent(death_signal, os.getpid()),  # after setuid, which would clear the setting
    )


def stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals, timeout_s: float) -> int:
    """Ask the child to end, wait, and kill it when it takes longer than `timeout_s`. Answers its exit status."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def is_alive(process_id: int) -> bool:
    """Whether a process of this id exists, also one of another user."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def die_with_parent(death_signal: signal.Signals, parent_id: int) -> Callable[[], None]:
    """What a child has to call, right after the fork, to be signalled when its parent ends."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: no imports in the child

    def arrange() -> None:
        if prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
            os._exit(126)
        if os.getppid() != parent_id:  # it died between fork and prctl
            os._exit(126)

    return arrange
