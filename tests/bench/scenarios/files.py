"""Files up and down, and pictures with their thumbnails. No two files are the same, so that none is stored already."""

import itertools
import os
import struct
from io import BytesIO
from typing import Final
from zlib import crc32

from PIL import Image, ImageFilter

from tests.bench.matrix_client import Client
from tests.bench.population import Population
from tests.bench.size import Size
from tests.bench.work import FAILURES, Slice, Work, closed_loop, counted_loop

_IN_FLIGHT: Final = 2
_BYTES: Final = 1 << 20
_DOWNLOADED: Final = 32  # files, in turn
_PICTURE: Final = (640, 480)
_THUMBNAILS: Final = ((96, 96, "crop"), (320, 240, "scale"))
_END_BYTES: Final = 12
_CONTENT: Final = os.urandom(_BYTES)
_numbers = itertools.count(1)


def _file() -> bytes:
    """1 MiB."""
    return next(_numbers).to_bytes(8, "big") + _CONTENT[8:]


async def media(population: Population, size: Size) -> list[Work]:
    """Uploads and downloads of 1 MiB; pictures with a thumbnail by either method."""
    (user,) = await population.users(1)
    files = _Files([user.another() for _ in range(_IN_FLIGHT)])
    await files.prepare()
    return [
        Work("media, upload of 1 MiB", "file", counted_loop(_IN_FLIGHT, size.files, files.upload)),
        Work("media, download of 1 MiB", "file", closed_loop(_IN_FLIGHT, files.download)),
        Work("media, first byte of a download of 1 MiB", "file", files.first_bytes),
        Work("media, PNG up, two thumbnails down", "picture", counted_loop(_IN_FLIGHT, size.files, files.picture)),
    ]


class _Files:
    """What is up- and downloaded, by some clients of one user."""

    def __init__(self, lanes: list[Client]) -> None:
        self._lanes = lanes
        self._names: list[str] = []
        self._picture = photograph()

    async def prepare(self) -> None:
        """Files to be downloaded."""
        self._names = [await self._lanes[0].upload("application/octet-stream", _file()) for _ in range(_DOWNLOADED)]

    async def upload(self, lane: int, number: int) -> None:
        """A new file."""
        await self._lanes[lane].upload("application/octet-stream", _file())

    async def download(self, lane: int) -> None:
        """The next file."""
        content = await self._lanes[lane].download(self._next())
        assert len(content) == _BYTES, "files come back whole"

    async def first_bytes(self, current: Slice) -> None:
        """Downloads one after the other; counts how long each takes to begin."""
        client = self._lanes[0]
        while not current.is_over():
            asked = current.moment()
            try:
                await client.download(self._next())
            except FAILURES as error:
                current.failed(error)
            else:
                current.count(asked, client.first_byte_moment)

    def _next(self) -> str:
        return self._names[next(_numbers) % len(self._names)]

    async def picture(self, lane: int, number: int) -> None:
        """A new picture, and thumbnails as clients show them in lists and in rooms."""
        client = self._lanes[lane]
        name = await client.upload("image/png", numbered(self._picture))
        for width, height, method in _THUMBNAILS:
            await client.thumbnail(name, width, height, method)


def photograph() -> bytes:
    """A PNG that compresses about as badly as photographs do."""
    written = BytesIO()
    picture = Image.effect_noise(_PICTURE, 64).convert("RGB").filter(ImageFilter.GaussianBlur(4))
    picture.save(written, "PNG")
    return written.getvalue()


def numbered(png: bytes) -> bytes:
    """The same with a number in it, ahead of its last chunk."""
    chunk = b"tEXtnumber\0%d" % next(_numbers)
    length, checksum = len(chunk) - 4, crc32(chunk)
    return png[:-_END_BYTES] + struct.pack(">I", length) + chunk + struct.pack(">I", checksum) + png[-_END_BYTES:]
