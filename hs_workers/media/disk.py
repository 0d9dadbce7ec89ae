"""Work on files, in threads: a disk that hesitates holds up nobody else."""

import errno
import os
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from hs_common.process.worker_threads import Threads
from hs_workers.media.blobs import Piece, StorageFailed

T = TypeVar("T")

PIECES_AT_ONCE: Final = 256
"""Below what systems take (1,024)."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Disk:
    """Runs what may wait for the disk. `failed` is called at each failure, to count it."""

    def __init__(self, threads: Threads, failed: Callable[[], None]) -> None:
        self._threads = threads
        self._failed = failed

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work()`. FileNotFoundError passes; every other error of the disk is StorageFailed."""
        try:
            return await self._threads.run(work)
        except FileNotFoundError:
            raise
        except OSError as error:
            self._failed()
            reason = "The disk is full" if error.errno in _FULL else f"The disk failed: {error.strerror}"
            raise StorageFailed(reason) from error


def write_all(descriptor: int, pieces: Sequence[Piece]) -> None:
    """Writes them one after the other, in as few calls as the system takes. OSError if that cannot be done."""
    for begin in range(0, len(pieces), PIECES_AT_ONCE):
        written = os.writev(descriptor, pieces[begin : begin + PIECES_AT_ONCE])
        for piece in pieces[begin : begin + PIECES_AT_ONCE]:
            rest = memoryview(piece)[min(written, len(piece)) :]
            written -= len(piece) - len(rest)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
