"""Blocks of ports for servers of this machine's test runs, so that two of them never meet.

A block is ours while its last port is bound: the kernel is the lock, and frees it whatever becomes of us.
"""

import random
import socket
from types import TracebackType
from typing import Final, Self

BLOCK_SIZE: Final = 40  # a split with two masters takes 15
_FIRST, _LAST = 20_000, 32_000  # below the ports that the kernel hands out for outgoing connections


class PortBlock:
    """`BLOCK_SIZE` ports, of which the first is `first`, from `__enter__` to `__exit__`."""

    def __init__(self) -> None:
        self._lock: socket.socket | None = None
        self.first = 0

    def __enter__(self) -> Self:
        blocks = list(range(_FIRST, _LAST, BLOCK_SIZE))
        random.shuffle(blocks)
        for first in blocks:
            lock = _bound(first + BLOCK_SIZE - 1)
            if lock is None:
                continue
            probe = _bound(first)
            if probe is not None:
                probe.close()
                self._lock, self.first = lock, first
                return self
            lock.close()
        raise RuntimeError("no block of free ports")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _bound(port: int) -> socket.socket | None:
    """A socket bound to the port, or None when somebody has it."""
    bound = socket.socket()
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        return None
    return bound
