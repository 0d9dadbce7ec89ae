"""A copy of this process (fork) in which steps are tried that may end it.

Rules: the copy touches nothing but memory and the pipe to us: no logs, no finalizers, no reactor, and it ends without
cleaning up; the sockets that it inherits are never used. It ends with us. A step that takes too long counts as an end,
as it would for the process itself (`Watchdog`). Linux only. Must not know what the steps are.
"""

import gc
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from twisted.logger import Logger

from hs_common.process.child_process import die_with_parent
from hs_common.replication.clock import Clock, pause
from hs_master.pipeline.rehearsal import Steps

STEP_LIMIT_S: Final = 5.0
"""Deciding takes microseconds; what takes this long would hold up everybody."""
LOOK_INTERVAL_S: Final = 0.002
_BEGUN, _DONE = b".", b"!"

_log = Logger()


class CopiedProcess:
    """Makes the copies."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def rehearse(self, steps: Steps) -> int | None:
        """See `Rehearse`. None as well if no copy can be made, which is no step's fault."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            child = _begin(steps, writing)
        except OSError as error:
            _log.warn("no copy of this process can be made to try calls in: {error}", error=error)
            return None
        finally:
            os.close(writing)
        try:
            return await self._watch(reading)
        finally:
            os.close(reading)
            os.kill(child, signal.SIGKILL)  # it may hang; where it has ended it waits for us, so the id is its own
            os.waitpid(child, 0)  # noqa: ASYNC222 (it was just killed)

    async def _watch(self, reading: int) -> int | None:
        begun, news_s = 0, self._clock.seconds()
        while True:
            with suppress(BlockingIOError):
                told = os.read(reading, 4_096)
                if told.endswith(_DONE):
                    return None
                if not told:  # the other end is closed: it has ended
                    return begun - 1 if begun else None
                begun, news_s = begun + len(told), self._clock.seconds()
                continue
            if self._clock.seconds() - news_s > STEP_LIMIT_S:
                return begun - 1 if begun else None
            await pause(self._clock, LOOK_INTERVAL_S)


def _begin(steps: Steps, writing: int) -> int:
    die_with_us: Callable[[], None] = die_with_parent(signal.SIGKILL, os.getpid())
    child = os.fork()
    if child:
        return child
    try:
        gc.disable()
        die_with_us()
        for step in steps:
            os.write(writing, _BEGUN)
            with suppress(Exception):
                step()
        os.write(writing, _DONE)
    finally:
        os._exit(0)
