"""A content on its way into the object store: it is collected in a nameless file first, because its key is its digest,
and then sent under that key in one request. A process that dies leaves nothing: neither the file nor half an object.

The file's methods run in threads, one at a time, as those of the local folder's do.
"""

import os
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO

from hs_workers.media.blobs import Digest, Piece
from hs_workers.media.disk import Disk, write_all


class Spool:
    """A nameless file that is written to its end and then read, any number of times. Made in a thread's first write."""

    def __init__(self, folder: Path | None, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._ended = False
        self.size = 0

    async def write(self, pieces: Sequence[Piece]) -> None:
        """Appends."""
        await self._disk.run(lambda: self._write(pieces))

    async def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; empty at the end, or after `close`."""
        return await self._disk.run(lambda: self._read(offset, size))

    async def close(self) -> None:
        """Gives the space back."""
        await self._disk.run(self._close)

    def _write(self, pieces: Sequence[Piece]) -> None:
        with self._lock:
            if self._ended:
                return
            if self._file is None:
                self._file = _nameless(self._folder)
            write_all(self._file.fileno(), pieces)
            self.size += sum(map(len, pieces))

    def _read(self, offset: int, size: int) -> bytes:
        with self._lock:
            return b"" if self._file is None else os.pread(self._file.fileno(), size, offset)

    def _close(self) -> None:
        with self._lock:
            self._ended = True
            if self._file is not None:
                self._file.close()
                self._file = None


def _nameless(folder: Path | None) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder, buffering=0, prefix="viaduct-media-")


class SpooledReceiving:
    """One content. `send` puts what was collected into the store, and has returned when it is durable there."""

    def __init__(self, spool: Spool, send: Callable[[Spool, Digest], Awaitable[None]]) -> None:
        self._spool = spool
        self._send = send
        self._has_rest = False

    async def write(self, pieces: Sequence[Piece]) -> None:
        await self._spool.write(pieces)

    async def keep(self, digest: Digest, rest: Sequence[Piece]) -> None:
        if not self._has_rest:
            await self._spool.write(rest)
            self._has_rest = True
        await self._send(self._spool, digest)

    def let_go(self) -> bool:
        """Closing gives back a file's space, which takes a while."""
        return False

    async def discard(self) -> None:
        await self._spool.close()
