"""What a long play says while it goes on: a line for each step, with the seconds since the one before."""

import sys
import time


class Report:
    """Writes to stdout at once."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def __call__(self, text: str) -> None:
        now_s = time.monotonic()
        sys.stdout.write(f"{now_s - self._last_s:7.1f} s  {text}\n")
        sys.stdout.flush()
        self._last_s = now_s
