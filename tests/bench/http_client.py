"""A minimal HTTP/1.1 client that costs little: one request at a time on one kept connection.

`AnswerReader` knows no network. It reads what homeservers send: a length or chunks, keep-alive or not. It must not
know Matrix.
"""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import urlsplit

REQUEST_TIMEOUT_S = 60.0  # a longer answer is a failure of the server, not a slow one
_HEAD_LIMIT = 64 << 10
_NO_BODY = (204, 304)


class BrokenAnswerError(Exception):
    """What came is not HTTP, or the connection ended inside an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its status and its body."""

    status: int
    body: bytes


class AnswerReader:
    """Bytes in, answers out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._status = 0
        self._length: int | None = None  # of the body; None while the head is read
        self._chunked = False
        self._body = bytearray()
        self.keeps_alive = True

    def feed(self, data: bytes) -> Answer | None:
        """Take bytes; the answer, once it is whole. Raises BrokenAnswerError."""
        self._buffer += data
        if self._length is None and not self._read_head():
            return None
        return self._chunks() if self._chunked else self._plain()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise BrokenAnswerError("a head without end")
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        if not head.startswith(b"HTTP/1."):
            raise BrokenAnswerError(f"not HTTP: {head[:40]!r}")
        self._status = int(head[9:12])
        headers = head.lower()
        self._chunked = b"\r\ntransfer-encoding: chunked" in headers
        self.keeps_alive = b"\r\nconnection: close" not in headers
        self._length = 0 if self._status in _NO_BODY else _content_length(headers)
        return True

    def _plain(self) -> Answer | None:
        assert self._length is not None
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        return self._finished(body)

    def _chunks(self) -> Answer | None:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size = int(bytes(self._buffer[:end]).partition(b";")[0], 16)
            if len(self._buffer) < end + 2 + size + 2:
                return None
            self._body += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 2 + size + 2]
            if size == 0:
                return self._finished(bytes(self._body))
        return None

    def _finished(self, body: bytes) -> Answer:
        self._length = None
        self._body = bytearray()
        return Answer(self._status, body)


def _content_length(headers: bytes) -> int:
    start = headers.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    return int(headers[start + 17 :].partition(b"\r\n")[0])


class Address:
    """Where a server is reached, from its URL; and its doors for /sync and for the rest, if it has several."""

    def __init__(self, url: str, doors: "Doors | None" = None) -> None:
        self.doors = doors
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not a URL of a server: {url}")
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.prefix = parts.path.rstrip("/")
        self.host_header = parts.netloc.rpartition("@")[2]


class Doors:
    """Workers that are asked directly, each in turn, as a proxy in front would ask them.

    `first` answers the few requests that no worker does, where there are such.
    """

    def __init__(
        self,
        for_syncs: Sequence[Address],
        for_the_rest: Sequence[Address],
        first: Address | None = None,
        for_media: Sequence[Address] = (),
    ) -> None:
        self._for_syncs = cycle(for_syncs)
        self._for_the_rest = cycle(for_the_rest)
        self._for_media = cycle(for_media or ([first] if first else for_the_rest))
        self.first = first

    def next_pair(self) -> tuple[Address, Address]:
        """The next client's: for its syncs, and for the rest."""
        return next(self._for_syncs), next(self._for_the_rest)

    def next_for_media(self) -> Address:
        """The next client's, for its files."""
        return next(self._for_media)


class Connection:
    """One connection, opened at the first request and again after the server closed it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._wire: _Wire | None = None

    @property
    def first_byte_moment(self) -> float:
        """When the last answer began, in monotonic seconds."""
        return 0.0 if self._wire is None else self._wire.first_byte_moment

    async def request(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout_s: float | None = None,
    ) -> Answer:
        """One request and its answer. Raises OSError, TimeoutError or BrokenAnswerError; none is sent again."""
        return await self.exchange(self._encoded(method, path, token, content_type, body), timeout_s)

    async def exchange(self, question: bytes, timeout_s: float | None = None) -> Answer:
        """The same with a request that is written out already."""
        wire = self._wire
        if wire is None or wire.transport is None:
            self._wire = wire = await self._open()
        assert wire.transport is not None
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Answer] = loop.create_future()
        wire.waiting, wire.first_byte_moment = waiting, 0.0
        timer = loop.call_later(timeout_s or REQUEST_TIMEOUT_S, wire.fail, TimeoutError("no answer in time"))
        try:
            wire.transport.write(question)
            return await waiting
        finally:
            timer.cancel()
            wire.waiting = None
            if waiting.cancelled():
                wire.close()  # the answer would be taken for the next request's

    def close(self) -> None:
        """End the connection; a later request opens another."""
        if self._wire is not None:
            self._wire.close()

    async def _open(self) -> "_Wire":
        address = self._address
        loop = asyncio.get_running_loop()
        opening = loop.create_connection(_Wire, address.host, address.port, ssl=address.tls)
        _, wire = await asyncio.wait_for(opening, REQUEST_TIMEOUT_S)
        return wire

    def _encoded(self, method: str, path: str, token: str, content_type: str, body: bytes | None) -> bytes:
        head = f"{method} {self._address.prefix}{path} HTTP/1.1\r\nHost: {self._address.host_header}\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        if body is None:
            return (head + "\r\n").encode()
        return f"{head}Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class _Wire(asyncio.Protocol):
    """One opened connection, until it closes."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting: asyncio.Future[Answer] | None = None
        self.first_byte_moment = 0.0
        self._reader = AnswerReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is open."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        self.first_byte_moment = self.first_byte_moment or time.monotonic()
        try:
            answer = self._reader.feed(data)
        except (BrokenAnswerError, ValueError) as error:
            self.fail(BrokenAnswerError(str(error)))
            return
        if answer is None:
            return
        if not self._reader.keeps_alive:
            self.close()
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is closed."""
        self.fail(error or BrokenAnswerError("the server closed the connection"))

    def fail(self, error: Exception) -> None:
        """End the connection, and the request that waits on it with this error."""
        self.close()
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(error)

    def close(self) -> None:
        """End the connection."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None
