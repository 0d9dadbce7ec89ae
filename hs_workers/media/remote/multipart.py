"""`multipart/mixed` bodies: read while they come, and written around a body of known length. Pure. RFC 2046, 5.1.

Rules: what another server sends is hostile; headers are bounded, and a body is handed on piece by piece.
"""

import re
from collections.abc import Callable
from typing import Final

HEADERS_LIMIT: Final = 16 * 1024
"""Bytes of the headers of one part; media have three."""
PREAMBLE_LIMIT: Final = 16 * 1024
PADDING_LIMIT: Final = 256
"""White space behind a boundary."""
_BOUNDARY: Final = re.compile(
    r"""multipart/mixed\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))\s*(?:;.*)?""",
    re.IGNORECASE | re.DOTALL,
)


class MalformedMultipart(Exception):
    """The body is not what its type says."""


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names. Raises MalformedMultipart."""
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None or not (match[1] or match[2]).isascii():
        raise MalformedMultipart("no multipart/mixed with a boundary")
    return (match[1] or match[2]).encode("ascii")


class MultipartReader:
    """Takes a body in pieces. `header` is called with the headers of each part, their names in lower case, `data` with
    what its body has, `end` at the end of each part."""

    def __init__(
        self,
        boundary: bytes,
        header: Callable[[dict[str, str]], None],
        data: Callable[[bytes], None],
        end: Callable[[], None],
    ) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._buffer = b"\r\n"  # the first boundary may stand at the very beginning
        self._header = header
        self._data = data
        self._end = end
        self._step: Callable[[], bool] = self._read_preamble
        self.is_complete = False

    def feed(self, data: bytes) -> None:
        """More of it. Raises MalformedMultipart."""
        self._buffer += data
        while self._step():
            pass

    def finish(self) -> None:
        """That was all. Raises MalformedMultipart if something is missing."""
        if not self.is_complete:
            raise MalformedMultipart("the last boundary is missing")

    def _read_preamble(self) -> bool:
        _, found, rest = self._buffer.partition(self._delimiter)
        if not found:
            if len(self._buffer) > PREAMBLE_LIMIT:
                raise MalformedMultipart("no boundary at the beginning")
            return False
        self._buffer, self._step = rest, self._read_boundary
        return True

    def _read_boundary(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer.startswith(b"--"):
            self.is_complete = True
            self._buffer, self._step = b"", self._drop
            return True
        padding, found, rest = self._buffer.partition(b"\r\n")
        if padding.strip(b" \t" if found else b" \t\r") or (not found and len(padding) > PADDING_LIMIT):
            raise MalformedMultipart("something stands behind a boundary")
        if not found:
            return False
        # Headers end with an empty line; where there are none, that line is the first.
        self._buffer, self._step = b"\r\n" + rest, self._read_headers
        return True

    def _read_headers(self) -> bool:
        block, found, rest = self._buffer.partition(b"\r\n\r\n")
        if len(block) > HEADERS_LIMIT:
            raise MalformedMultipart("the headers of a part are too long")
        if not found:
            return False
        self._header(_parsed(block))
        self._buffer, self._step = b"\r\n" + rest, self._read_first
        return True

    def _read_first(self) -> bool:
        """An empty body's boundary begins with the line end of the headers."""
        if len(self._buffer) < len(self._delimiter):
            return False
        if not self._buffer.startswith(self._delimiter):
            self._buffer = self._buffer[2:]
        self._step = self._read_body
        return True

    def _read_body(self) -> bool:
        body, found, rest = self._buffer.partition(self._delimiter)
        if not found:
            sure = len(self._buffer) - len(self._delimiter) + 1
            if sure > 0:
                self._data(self._buffer[:sure])
                self._buffer = self._buffer[sure:]
            return False
        if body:
            self._data(body)
        self._end()
        self._buffer, self._step = rest, self._read_boundary
        return True

    def _drop(self) -> bool:
        self._buffer = b""
        return False


def _parsed(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in block.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return headers


def around(boundary: str, headers: dict[str, str]) -> tuple[bytes, bytes]:
    """What goes before and behind a medium: the first part, which is an empty object, and the second one's headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    before = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n{lines}\r\n"
    return before.encode("ascii"), f"\r\n--{boundary}--\r\n".encode("ascii")
