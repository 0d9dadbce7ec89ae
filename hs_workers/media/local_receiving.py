"""A content on its way into the folder: an unfinished file that grows, and is then renamed to its digest.

Its methods run in threads, one at a time: a lock makes a `discard`, which may come at any time, wait for the write
under way, so that no thread ever writes to a closed file.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from hs_workers.media.blobs import Digest
from hs_workers.media.disk import Disk


class LocalReceiving:
    """`path` is the unfinished file's; `place_of` says where a digest belongs."""

    def __init__(self, path: Path, place_of: Callable[[bytes], Path], disk: Disk) -> None:
        self._path = path
        self._place_of = place_of
        self._disk = disk
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._ended = False

    async def write(self, data: bytes) -> None:
        await self._disk.run(lambda: self._write(data))

    async def complete(self) -> Digest:
        if self._file is None:
            await self._disk.run(lambda: self._write(b""))
        return Digest(self._hash.digest(), self._size)

    async def keep(self) -> None:
        await self._disk.run(self._keep)

    async def discard(self) -> None:
        await self._disk.run(self._discard)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._ended:
                return
            if self._file is None:
                self._file = FileIO(self._path, "xb")
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._hash.update(data)
            self._size += len(data)

    def _keep(self) -> None:
        with self._lock:
            assert self._file is not None, "kept before it was complete"
            if self._ended:
                return
            place = self._place_of(self._hash.digest())
            if _has_size(place, self._size):
                self._path.unlink()
            else:
                os.fsync(self._file.fileno())
                self._path.rename(place)
            # Also where it was there already: whoever put it there may not have come this far yet.
            sync_folder(place.parent)
            self._end(self._file)

    def _discard(self) -> None:
        with self._lock:
            if self._ended or self._file is None:
                self._ended = True
                return
            self._path.unlink(missing_ok=True)
            self._end(self._file)

    def _end(self, file: FileIO) -> None:
        self._ended = True
        file.close()


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
