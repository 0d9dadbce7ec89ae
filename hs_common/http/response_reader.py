"""Reads one HTTP/1.1 response from the bytes of a connection to another process of this server.

Rules: strict, because what a reader lets pass a client may read otherwise ("response splitting"): a head that is not
exactly of the grammar, two lengths, an interim answer (none is ever asked for) or folded lines are refused. What comes
after the response is never given out, only noticed. The body is given out piece by piece and not kept.

Pure: bytes in, bytes out. https://www.rfc-editor.org/rfc/rfc9112
"""

import re
from dataclasses import dataclass
from typing import Final

HEAD_LIMIT_BYTES: Final = 64 * 1024
"""Of a head, and of all trailers together. Our own are below 1 KiB; endpoints may add a header of some KiB."""
CHUNK_LINE_LIMIT_BYTES: Final = 1024
"""A size in hexadecimal has 16 digits; the rest is for extensions, which are not used."""

_FIELD_PATTERN: Final = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)\r\n"
_FIELD: Final = re.compile(_FIELD_PATTERN)
_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([2-9][0-9][0-9])(?: [^\r\n\0]*)?\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*)\r\n"
)
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n\0]*)?")
_NO_BODY: Final = frozenset((204, 304))


class MalformedResponse(ValueError):
    """The bytes are no response, one of more than one meaning, or one that broke off."""


@dataclass(slots=True)
class ResponseHead:
    """`headers` are as sent, in their order. `length` is the announced size of the body in bytes, which a response to
    HEAD and a 304 have without a body; None: chunked, or until the connection ends. `persistent`: another request may
    follow on the connection."""

    status: int
    headers: list[tuple[bytes, bytes]]
    length: int | None
    chunked: bool
    persistent: bool


class ResponseReader:
    """One response. `is_bodiless` says that it answers a HEAD request."""

    __slots__ = ("_buffer", "_chunks", "_is_bodiless", "_left", "has_surplus", "head", "is_complete")

    def __init__(self, is_bodiless: bool = False) -> None:
        self._is_bodiless = is_bodiless
        self._buffer = b""
        self._left: int | None = None
        self._chunks: _Chunks | None = None
        self.head: ResponseHead | None = None
        """None until it is complete."""
        self.is_complete = False
        self.has_surplus = False
        """More came than the response has: the connection is out of step and must not be used again."""

    def feed(self, data: bytes) -> bytes:
        """Takes what came; gives the part of the body in it. Raises MalformedResponse."""
        if self.head is None:
            data = self._read_head(data)
            if self.head is None:
                return b""
        if self.is_complete:
            self.has_surplus = self.has_surplus or data != b""
            return b""
        if self._chunks is not None:
            body = self._chunks.feed(data)
            self.is_complete, self.has_surplus = self._chunks.is_complete, self._chunks.has_surplus
            return body
        return data if self._left is None else self._take(data, self._left)

    def end(self) -> None:
        """The connection has ended. Raises MalformedResponse if the response has not, which it may do by that."""
        if self.head is not None and self._left is None and self._chunks is None:
            self.is_complete = True
        if not self.is_complete:
            raise MalformedResponse("it broke off")

    def _take(self, data: bytes, left: int) -> bytes:
        if len(data) < left:
            self._left = left - len(data)
            return data
        self._left = 0
        self.is_complete = True
        self.has_surplus = len(data) > left
        return data[:left] if self.has_surplus else data

    def _read_head(self, data: bytes) -> bytes:
        """Takes the head, once it is complete; gives what follows it."""
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n", 0, HEAD_LIMIT_BYTES)
        if end < 0:
            if len(data) >= HEAD_LIMIT_BYTES:
                raise MalformedResponse("the head is too large")
            self._buffer = data
            return b""
        self._buffer = b""
        head = self.head = parse_head(data[: end + 4])
        if self._is_bodiless or head.status in _NO_BODY or head.length == 0:
            self._left = 0
            self.is_complete = True
        elif head.chunked:
            self._chunks = _Chunks()
        else:
            self._left = head.length
        return data[end + 4 :]


def parse_head(head: bytes) -> ResponseHead:
    """The head, the empty line at its end included. Raises MalformedResponse."""
    match = _HEAD.fullmatch(head)
    if match is None:
        raise MalformedResponse("the head is not one of HTTP/1.1")
    version, status, fields = match.groups()
    headers = _FIELD.findall(fields)
    length: int | None = None
    chunked, persistent = False, version == b"1"
    for name, value in headers:
        # All others are told by the length of their names, so that few are compared.
        if len(name) == 14 and name.lower() == b"content-length":
            if length is not None or _LENGTH.fullmatch(value.rstrip(b" \t")) is None:
                raise MalformedResponse("no or more than one length")
            length = int(value)
        elif len(name) == 17 and name.lower() == b"transfer-encoding":
            if chunked or value.rstrip(b" \t").lower() != b"chunked":
                raise MalformedResponse("an unknown coding")
            chunked = True
        elif len(name) == 10 and name.lower() == b"connection" and b"close" in value.lower():
            persistent = False
    if chunked and length is not None:
        raise MalformedResponse("both chunked and with a length")
    if status == b"204":
        length = None  # it says nothing
    return ResponseHead(int(status), headers, length, chunked, persistent)


class _Chunks:
    """Undoes the chunked coding. Trailers are dropped."""

    __slots__ = ("_buffer", "_left", "_next_line", "_trailer_bytes", "has_surplus", "is_complete")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._next_line = self._size
        self._trailer_bytes = 0
        self.is_complete = False
        self.has_surplus = False

    def feed(self, data: bytes) -> bytes:
        data = self._buffer + data
        pieces = []
        at = 0
        while not self.is_complete:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
            end = data.find(b"\r\n", at, at + CHUNK_LINE_LIMIT_BYTES)
            if end < 0:
                if len(data) - at >= CHUNK_LINE_LIMIT_BYTES:
                    raise MalformedResponse("a line between chunks is too long")
                break
            self._next_line(data[at:end])
            at = end + 2
        self._buffer = data[at:]
        self.has_surplus = self.is_complete and self._buffer != b""
        return b"".join(pieces)

    def _size(self, line: bytes) -> None:
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise MalformedResponse("a chunk without a size")
        self._left = int(match[1], 16)
        self._next_line = self._end_of_chunk if self._left else self._trailer

    def _end_of_chunk(self, line: bytes) -> None:
        if line:
            raise MalformedResponse("a chunk is longer than its size")
        self._next_line = self._size

    def _trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > HEAD_LIMIT_BYTES:
            raise MalformedResponse("the trailers are too large")
        self.is_complete = not line
