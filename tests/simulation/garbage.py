"""Keeps finished and half-finished work from being finalised at a wrong time.

A coroutine of a dead process that is finalised runs its last steps: within a world that would be a ghost, and would
depend on when Python collects. So nothing is collected while worlds run, and what their ends leave behind (Deferreds
that failed because they were finalised) is not reported.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from twisted.internet import defer
from twisted.logger import LogLevel, globalLogPublisher

_WORLDS_KEPT = 10  # some megabytes each; a collection takes as long as a world
_finished = 0


@contextmanager
def kept() -> Iterator[None]:
    """Collects nothing while a world runs, and afterwards only now and then."""
    global _finished
    if _finished == 0:
        gc.collect()
        gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        _finished += 1
        if _finished % _WORLDS_KEPT == 0:
            collect()


def collect() -> None:
    """Forget all worlds that have ended. Nobody of theirs may go on: what he logs as a failure then is one."""
    failures: list[str] = []

    def note(event: Any) -> None:
        if event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            failures.append(str(event.get("log_format")) if failure is None else failure.getTraceback())

    observer: Any = note
    globalLogPublisher.addObserver(observer)
    with mock.patch.object(defer.DebugInfo, "__del__", return_value=None), mock.patch("sys.unraisablehook"):
        gc.collect()
    globalLogPublisher.removeObserver(observer)
    gc.enable()
    assert failures == [], "somebody went on after the end of his world"
