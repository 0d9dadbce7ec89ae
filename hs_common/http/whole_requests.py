"""Reads a request that came in one piece, its body included, and has nothing unusual about it. Pure.

Rules: those of `simple_requests`. One length, which is that of all that came behind the head; so no second request
hides behind the first. What is remembered of a client's headers are places in them, not their values.
"""

import re
from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from twisted.web.http_headers import Headers

from hs_common.http.simple_requests import (
    HEAD_LIMIT_BYTES,
    REMEMBERED_LIMIT,
    REQUEST_ID,
    ReadOnce,
    read_fields,
    without,
)

_LINE: Final = re.compile(rb"(GET|PUT|POST|DELETE) ((/[!->@-~]*)(?:\?([!-~]+))?) HTTP/1\.1")
# As a request's number, it differs between requests of one client.
_LENGTH: Final = re.compile(rb"^content-length: ?([0-9]{1,6})\r\n", re.IGNORECASE | re.MULTILINE)

T = TypeVar("T")


class Pieces(NamedTuple, Generic[T]):
    """What such a request consists of. `query_string` is empty without one, `request_id` what a header says, None
    without; `fields` are the other header lines, without the length, and `known` what was read of them."""

    method: str
    target: bytes
    path: bytes
    query_string: bytes
    request_id: bytes | None
    fields: bytes
    known: T
    body: bytes


def read_pieces(data: bytes, known: ReadOnce[T]) -> Pieces[T] | None:
    """None for anything that is not exactly one request of the simple shape, by the line, the length, or `known`."""
    end = data.find(b"\r\n\r\n", 0, HEAD_LIMIT_BYTES)
    first, _, fields = data[: end + 2].partition(b"\r\n")
    line = None if end < 0 else _LINE.fullmatch(first)
    if line is None:
        return None
    method, body = line[1].decode("ascii"), data[end + 4 :]
    fields, length = without(_LENGTH, fields)
    # Without a length there is no body: more bytes are another request's, which has to wait.
    if len(body) != int(length or 0) or (method == "GET" and length is not None):
        return None
    fields, request_id = without(REQUEST_ID, fields)
    said = known.of(fields)
    if said is None:
        return None
    return Pieces(method, line[2], line[3], line[4] or b"", request_id, fields, said, body)


class _Line(NamedTuple):
    """A header line: its name, and where its value is."""

    name: bytes
    begin: int
    end: int


class WholeRequest(NamedTuple):
    """A request of the simple shape."""

    method: str
    path: bytes
    query_string: bytes
    request_id: bytes | None
    headers: Headers
    body: bytes


class WholeRequests:
    """Reads requests, and remembers where headers are."""

    def __init__(self, remembered_limit: int = REMEMBERED_LIMIT) -> None:
        self._known = ReadOnce(_read, remembered_limit)

    def read(self, data: bytes) -> WholeRequest | None:
        """The request that the bytes are; None for anything that is not exactly one of the simple shape."""
        pieces = read_pieces(data, self._known)
        if pieces is None:
            return None
        headers, fields = Headers(), pieces.fields
        for name, begin, end in pieces.known:
            headers.addRawHeader(name, fields[begin:end])
        return WholeRequest(pieces.method, pieces.path, pieces.query_string, pieces.request_id, headers, pieces.body)

    def entries(self) -> int:
        """How many clients' headers are remembered."""
        return len(self._known)


def _read(lines: bytes) -> Sequence[_Line] | None:
    """What header lines say; None for anything unusual, or without one host."""
    fields = read_fields(lines)
    if fields is None or sum(field.name == b"host" for field in fields) != 1:
        return None
    # Between the value and the end of its line there is the line break alone: `read_fields` takes no blank there.
    return tuple(_Line(field.name, field.end - 2 - len(field.value), field.end - 2) for field in fields)
