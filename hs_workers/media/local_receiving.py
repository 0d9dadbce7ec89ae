"""A content on its way into the folder: an unfinished file that grows, and is then renamed to its digest.

Its methods run in threads, one at a time: a lock makes a `discard`, which may come at any time, wait for the write
under way, so that no thread ever writes to a closed file. A content that is small enough to come as the rest of `keep`
needs a thread once; one that is there already is not written at all. All that came is held until it is let go, in
memory or in a file, so that it can be put in its place again.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import FileIO
from typing import Final

from hs_workers.media.blobs import Digest, Piece
from hs_workers.media.disk import Disk, write_all

COPIED_BYTES: Final = 1024 * 1024


class LocalReceiving:
    """`path` is the unfinished file's; `place_of` says where a digest belongs."""

    def __init__(self, path: str, place_of: Callable[[bytes], str], disk: Disk) -> None:
        self._path = path
        self._place_of = place_of
        self._disk = disk
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._has_rest = False
        self._is_placed = False
        self._ended = False

    async def write(self, pieces: Sequence[Piece]) -> None:
        await self._disk.run(lambda: self._write(pieces))

    async def keep(self, digest: Digest, rest: Sequence[Piece]) -> None:
        await self._disk.run(lambda: self._keep(digest, rest))

    def let_go(self) -> bool:
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._file is not None and not self._is_placed:
                return False
            self._end()
            return True
        finally:
            self._lock.release()

    async def discard(self) -> None:
        await self._disk.run(self._discard)

    def _write(self, pieces: Sequence[Piece]) -> None:
        with self._lock:
            if not self._ended:
                self._append(pieces)

    def _append(self, pieces: Sequence[Piece]) -> FileIO:
        if self._file is None:
            self._file = FileIO(self._path, "x+b")
        write_all(self._file.fileno(), pieces)
        return self._file

    def _keep(self, digest: Digest, rest: Sequence[Piece]) -> None:
        with self._lock:
            if self._ended:
                return
            place = self._place_of(digest.sha256)
            if not _has_size(place, digest.size):
                os.fdatasync(self._whole(rest).fileno())  # bytes and size; only its date is not
                os.rename(self._path, place)
                self._is_placed = True
            # Also where it was there already: whoever put it there may not have come this far yet.
            sync_folder(os.path.dirname(place))

    def _whole(self, rest: Sequence[Piece]) -> FileIO:
        """An unfinished file with all of it."""
        if self._file is None or not self._has_rest:
            self._append(rest)
            self._has_rest = True
        elif self._is_placed:
            # It was deleted from its place. Without a name it cannot be given one, but it can be read.
            placed, self._file, self._is_placed = self._file, None, False
            with placed:
                placed.seek(0)
                while piece := placed.read(COPIED_BYTES):
                    self._append([piece])
        assert self._file is not None
        return self._file

    def _discard(self) -> None:
        with self._lock:
            if self._file is not None and not self._is_placed and not self._ended:
                with suppress(FileNotFoundError):
                    os.unlink(self._path)
            self._end()

    def _end(self) -> None:
        self._ended = True
        if self._file is not None:
            self._file.close()


def _has_size(path: str, size: int) -> bool:
    try:
        return os.stat(path).st_size == size
    except FileNotFoundError:
        return False


def sync_folder(folder: str) -> None:
    """Makes the names in a folder survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
