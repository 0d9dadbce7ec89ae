"""Reads a GET request that came in one piece and has nothing unusual about it, at a fraction of what the whole HTTP
costs. Pure.

Rules: those of `simple_requests`. What is accepted is accepted by twisted.web too, and means the same there; a test
feeds both. What is remembered of a client's headers has not the access token itself.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from twisted.web.http_headers import Headers

from hs_common.http.credentials import access_token_hash
from hs_common.http.simple_requests import (
    HEAD_LIMIT_BYTES,
    REMEMBERED_LIMIT,
    REQUEST_ID,
    ReadOnce,
    read_fields,
    without,
)
from hs_common.matrix.errors import MatrixError

_TARGET: Final = re.compile(rb"[!-~]+")


class QuickHeaders(NamedTuple):
    """What is asked of a client's headers."""

    token_hash: bytes
    user_agent: str
    forwarded_for: Sequence[bytes]


class QuickRequest(NamedTuple):
    """A request of the simple shape. `request_id` is what its header says, None without one."""

    path: bytes
    query_string: bytes
    request_id: bytes | None
    headers: QuickHeaders


class QuickRequests:
    """Reads requests to certain paths. For each there is a first look at the query string that may decline it."""

    def __init__(
        self, paths: Mapping[bytes, Callable[[bytes], bool]], remembered_limit: int = REMEMBERED_LIMIT
    ) -> None:
        self._paths = paths
        self._headers = ReadOnce(read_headers, remembered_limit)

    def read(self, data: bytes) -> QuickRequest | None:
        """The request that the bytes are; None for anything that is not exactly one of the simple shape."""
        first, line_break, fields = data.partition(b"\r\n")
        if not (first.startswith(b"GET ") and first.endswith(b" HTTP/1.1") and line_break):
            return None
        target = first[4:-9]
        path, mark, query_string = target.partition(b"?")
        may_want = self._paths.get(path)
        if may_want is None or not mark or len(data) > HEAD_LIMIT_BYTES or not may_want(query_string):
            return None
        if _TARGET.fullmatch(target) is None or b"access_token" in query_string:
            return None
        fields, request_id = without(REQUEST_ID, fields)
        headers = self._headers.of(fields)
        return None if headers is None else QuickRequest(path, query_string, request_id, headers)

    def entries(self) -> int:
        """How many clients' headers are remembered."""
        return len(self._headers)


def read_headers(fields: bytes) -> QuickHeaders | None:
    """What header lines say, the empty line behind them included; None for anything unusual, or without one token."""
    if not fields.endswith(b"\r\n\r\n"):
        return None
    lines = read_fields(fields[:-2])
    if lines is None:
        return None
    headers = Headers()
    for line in lines:
        headers.addRawHeader(line.name, line.value)
    try:
        token_hash = access_token_hash(headers, b"")
    except MatrixError:
        return None
    if token_hash is None:
        return None
    user_agent = headers.getRawHeaders(b"user-agent", [b""])[0].decode("ascii")
    return QuickHeaders(token_hash, user_agent, tuple(headers.getRawHeaders(b"x-forwarded-for", ())))
