"""Contents in a folder: `blobs/<first byte>/<digest>` for what is kept, `incoming/<random>` for what is being received.

A content becomes visible by a rename after its bytes are on the disk, so a crash leaves an unfinished file or nothing.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from hs_common.http.streaming import PIECE_BYTES
from hs_workers.media.blobs import PREFIXES, Blob, Found, Receiving
from hs_workers.media.disk import Disk
from hs_workers.media.local_receiving import LocalReceiving, sync_folder

_PAGE: Final = memoryview(bytearray(PIECE_BYTES))
"""Read into by the reactor's thread alone, and copied from at once: new memory for each piece is dearer."""
_NAME: Final = re.compile(r"[0-9a-f]{64}")


class LocalBlobs:
    """The folder. `random(n)` gives n random bytes; `seconds` is the time of day, as files are dated by."""

    def __init__(self, folder: Path, disk: Disk, random: Callable[[int], bytes], seconds: Callable[[], float]) -> None:
        self._folder = folder
        # As strings: pathlib takes longer to put a name together than the system to open the file.
        self._blobs = str(folder / "blobs")
        self._incoming = str(folder / "incoming")
        self._disk = disk
        self._random = random
        self._seconds = seconds

    async def start(self) -> None:
        """Makes the folders. OSError if that cannot be done."""
        for prefix in range(PREFIXES):
            os.makedirs(f"{self._blobs}/{prefix:02x}", exist_ok=True)
        os.makedirs(self._incoming, exist_ok=True)
        sync_folder(self._blobs)
        sync_folder(str(self._folder))

    def receive(self) -> Receiving:
        return LocalReceiving(f"{self._incoming}/{self._random(16).hex()}", self._path, self._disk)

    async def open(self, sha256: bytes) -> Blob | None:
        path = self._path(sha256)
        try:
            descriptor = await self._disk.run(lambda: _Descriptor(path))
        except FileNotFoundError:
            return None
        return _LocalBlob(descriptor, self._disk)

    def signed_url(self, sha256: bytes, content_type: str, disposition: str) -> str | None:
        return None

    async def delete(self, sha256: bytes) -> None:
        path = self._path(sha256)
        await self._disk.run(lambda: _unlink(path))

    async def contents(self, prefix: int) -> Sequence[Found]:
        return await self._disk.run(lambda: self._list(f"{self._blobs}/{prefix:02x}"))

    def _list(self, folder: str) -> list[Found]:
        found = []
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another worker has just deleted it
                    if _NAME.fullmatch(entry.name):
                        found.append(Found(bytes.fromhex(entry.name), self._seconds() - entry.stat().st_mtime))
        return found

    async def delete_unfinished(self, minimum_age_s: float) -> int:
        return await self._disk.run(lambda: self._delete_unfinished(minimum_age_s))

    def _delete_unfinished(self, minimum_age_s: float) -> int:
        deleted = 0
        for name in os.listdir(self._incoming):
            path = f"{self._incoming}/{name}"
            with suppress(FileNotFoundError):  # it was finished just now
                if self._seconds() - os.stat(path).st_mtime >= minimum_age_s:
                    os.unlink(path)
                    deleted += 1
        return deleted

    def _path(self, sha256: bytes) -> str:
        name = sha256.hex()
        return f"{self._blobs}/{name[:2]}/{name}"


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


class _Descriptor:
    """An open file, closed when nobody has it any more: also not a thread that is reading while its client goes."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.number).st_size

    def __del__(self) -> None:
        number = getattr(self, "number", None)  # missing where opening failed
        if number is not None:
            os.close(number)


class _LocalBlob:
    """A file that is read at once where the kernel has it in memory, and else in a thread."""

    def __init__(self, descriptor: _Descriptor, disk: Disk) -> None:
        self.size = descriptor.size
        self._descriptor: _Descriptor | None = descriptor
        self._disk = disk

    async def read(self, offset: int, size: int) -> bytes:
        descriptor = self._descriptor
        assert descriptor is not None, "the blob is closed"
        data = _read_from_memory(descriptor, offset, size)
        if data is None:
            data = await self._disk.run(lambda: os.pread(descriptor.number, size, offset))
        return data

    def close(self) -> None:
        self._descriptor = None


def _read_from_memory(descriptor: _Descriptor, offset: int, size: int) -> bytes | None:
    """What the kernel has in memory there; None if nothing, or if the file system cannot say."""
    page = _PAGE[:size]
    try:
        count = os.preadv(descriptor.number, [page], offset, os.RWF_NOWAIT)
    except OSError:  # nothing there, or not supported: a thread finds out
        return None
    return bytes(page[:count]) if count or offset >= descriptor.size else None
