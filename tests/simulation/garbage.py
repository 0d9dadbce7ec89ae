"""Keeps finished and half-finished work from being finalised at a wrong time.

A coroutine of a dead process that is finalised runs its last steps: within a world that would be a ghost, and would
depend on when Python collects. So nothing is collected while worlds run, and what their ends leave behind (Deferreds
that failed because they were finalised) is not reported.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from twisted.internet import defer

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
    """Forget all worlds that have ended."""
    with mock.patch.object(defer.DebugInfo, "__del__", return_value=None), mock.patch("sys.unraisablehook"):
        gc.collect()
    gc.enable()
