"""Runs the thumbnail processes: starts them when needed, gives each one job at a time, kills those that take too long.

A process is talked to by a thread, which waits for it; so nothing here touches the reactor but to await that thread.
"""

import os
import subprocess
import sys
import threading
from collections import deque
from typing import Final

from hs_common.process.worker_threads import Threads
from hs_workers.media.thumbnail_protocol import Answer, Job, Kind, PipeEnded, read_answer, write_job

TIME_LIMIT_S: Final = 10.0
"""A photograph of 50 million pixels takes one second; who hides more work than this in a file gets nothing."""
JOBS_LIMIT: Final = 500
"""A process ends after so many: what a decoder leaks stays small."""


class ThumbnailProcesses:
    """As many as there are threads."""

    def __init__(self, threads: Threads, maximum_pixels: int, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._threads = threads
        self._maximum_pixels = maximum_pixels
        self._time_limit_s = time_limit_s
        self._idle: deque[_ThumbnailProcess] = deque()
        self._alive: set[_ThumbnailProcess] = set()
        self.killed = 0
        """How many took too long, or died of what they were given."""

    async def make(self, job: Job) -> Answer:
        """The thumbnail; TOO_LARGE also if a process did not survive it."""
        return await self._threads.run(lambda: self._make(job))

    async def close(self) -> None:
        """Kills them all; a thread that waits for one gets its end for an answer."""
        for process in list(self._alive):
            process.kill()
        while self._idle:
            self._end(self._idle.pop())

    def _make(self, job: Job) -> Answer:
        try:
            process = self._idle.pop()
        except IndexError:
            process = _ThumbnailProcess(self._maximum_pixels, self._time_limit_s)
            self._alive.add(process)
        answer = process.make(job)
        if answer is None:
            self.killed += 1
            self._end(process)
            return Answer(Kind.TOO_LARGE)
        if process.jobs < JOBS_LIMIT:
            self._idle.append(process)
        else:
            self._end(process)
        return answer

    def _end(self, process: "_ThumbnailProcess") -> None:
        self._alive.discard(process)
        process.end()


class _ThumbnailProcess:
    """One process."""

    def __init__(self, maximum_pixels: int, time_limit_s: float) -> None:
        self.jobs = 0
        self._time_limit_s = time_limit_s
        program = [sys.executable, "-s", "-m", "hs_workers.media.thumbnail_process"]
        # Finds its modules where this process does, and learns nothing else of its environment.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LANG": "C.UTF-8"}
        self._process = subprocess.Popen(
            [*program, str(maximum_pixels), str(round(2 * time_limit_s))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def make(self, job: Job) -> Answer | None:
        """The answer; None if the process did not live to give one."""
        self.jobs += 1
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        alarm = threading.Timer(self._time_limit_s, self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            write_job(self._process.stdin, job)
            return read_answer(self._process.stdout)
        except (OSError, PipeEnded):
            return None
        finally:
            alarm.cancel()

    def kill(self) -> None:
        """Cuts short what it is at."""
        self._process.kill()

    def end(self) -> None:
        """Kills it and waits for its end, which is at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close(pipe)


def _close(pipe: object) -> None:
    """A pipe with an unwritten rest complains when it is closed; nobody reads that rest any more."""
    try:
        pipe.close()  # type: ignore[attr-defined]
    except OSError:
        return
