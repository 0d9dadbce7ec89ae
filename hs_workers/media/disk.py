"""Work on files, in threads: a disk that hesitates holds up nobody else."""

import errno
from collections.abc import Callable
from typing import Final, TypeVar

from hs_common.process.worker_threads import Threads
from hs_workers.media.blobs import StorageFailed

T = TypeVar("T")

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
