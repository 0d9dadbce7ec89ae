"""How fast is the core at this moment? A process of its own runs a short fixed loop again and again and tells how long.

CPU time on a shared machine is worth less when neighbours use the caches or the other half of a core. So each slice's
CPU time is divided by the loop's time in that very slice and multiplied by the loop's time on a quiet core. The loop
runs for 1 ms in 50, beside the load, and adds 2 % of one core, which belongs to none of the measured processes.
"""

import asyncio
import sys
import time

from tests.bench.figures import loop_time, percentile

_ROUNDS = 2400  # about a millisecond: long against a clock call, short against a slice of the scheduler
_PAUSE_S = 0.05
_QUIET_LOOPS = 300  # about a third of a second
_QUIET_SHARE = 0.05  # the quiet core is what the fastest twentieth saw
_LONGEST_MEMORY = 100_000  # samples kept: above an hour


def fixed_loop() -> int:
    """Some of what a server's Python does: attribute, dictionary, string and integer work, in a small memory."""
    table: dict[str, int] = {}
    total = 0
    for number in range(_ROUNDS):
        key = f"${number & 31}:{number % 7}"
        total += table.get(key, number) ^ len(key)
        table[key] = total & 0xFFFF
    return total


def time_loop_us() -> float:
    """The CPU time of one fixed loop; a first one warms the caches that a pause left to others."""
    fixed_loop()
    before = time.thread_time_ns()
    fixed_loop()
    return (time.thread_time_ns() - before) / 1000


def quiet_loop_us() -> float:
    """The loop's time on this machine's core when nobody disturbs it, as well as it can be found now."""
    return percentile([time_loop_us() for _ in range(_QUIET_LOOPS)], _QUIET_SHARE)


class Metronome:
    """The process that times loops while slices run. `with_` it from an event loop; ask between two moments."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._samples: list[tuple[float, float]] = []

    async def __aenter__(self) -> "Metronome":
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.calibration"),
            stdin=asyncio.subprocess.PIPE,  # closed when this process ends, however it ends
            stdout=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._reader is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader

    def loop_us(self, since: float) -> float:
        """The loop's time since that moment of the monotonic clock; measured at once if no sample is so young."""
        return loop_time([value for moment, value in self._samples if moment >= since] or [time_loop_us()])

    def quiet_us(self) -> float:
        """What the fastest loops of the run so far took."""
        return percentile([value for _, value in self._samples] or [time_loop_us()], _QUIET_SHARE)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._samples.append((time.monotonic(), float(line)))
            del self._samples[:-_LONGEST_MEMORY]


async def _beat() -> None:
    """Print one loop's time every 50 ms until standard input ends."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    while not ended.done():
        sys.stdout.write(f"{time_loop_us():.1f}\n")
        sys.stdout.flush()
        await asyncio.sleep(_PAUSE_S)


if __name__ == "__main__":
    asyncio.run(_beat())
