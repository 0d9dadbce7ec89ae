"""The medium in an answer of another server: the second of its parts, read while it comes."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from hs_workers.media.remote.multipart import MalformedMultipart, MultipartReader

METADATA_LIMIT: Final = 64 * 1024
"""Bytes of the first part, which is an empty object so far."""


class MediaBody:
    """`read_more` gives the answer's next bytes, empty at its end. Methods raise MalformedMultipart and what that
    raises."""

    def __init__(self, boundary: bytes, read_more: Callable[[], Awaitable[bytes]]) -> None:
        self._reader = MultipartReader(boundary, self._begun, self._came, self._ended)
        self._read_more = read_more
        self._headers: list[dict[str, str]] = []
        self._metadata_bytes = 0
        self._pieces: deque[bytes] = deque()
        self._parts_ended = 0

    async def headers(self) -> dict[str, str]:
        """Of the medium, names in lower case."""
        while len(self._headers) < 2:
            await self._more()
        return self._headers[1]

    async def read(self) -> bytes:
        """The next bytes of the medium, empty at its end. Only after `headers`."""
        while not self._pieces and self._parts_ended < 2:
            await self._more()
        return self._pieces.popleft() if self._pieces else b""

    async def _more(self) -> None:
        data = await self._read_more()
        if data:
            self._reader.feed(data)
        else:
            self._reader.finish()
            raise MalformedMultipart("there are not two parts")

    def _begun(self, headers: dict[str, str]) -> None:
        self._headers.append(headers)

    def _came(self, data: bytes) -> None:
        if len(self._headers) == 2:
            self._pieces.append(data)
        elif len(self._headers) == 1:
            self._metadata_bytes += len(data)
            if self._metadata_bytes > METADATA_LIMIT:
                raise MalformedMultipart("the first part is too large")

    def _ended(self) -> None:
        self._parts_ended += 1
