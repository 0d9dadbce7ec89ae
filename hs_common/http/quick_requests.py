"""Reads a GET request that came in one piece and has nothing unusual about it, at a fraction of what the whole HTTP
costs. Pure.

Rules: bytes that are not exactly of the simple shape are declined, never judged: twisted.web gets the very same bytes
then. What is accepted is accepted by twisted.web too, and means the same there; a test feeds both. A client's headers
are the same bytes in each of its requests, so what they say is remembered under their digest: the access token itself
is not kept.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from twisted.web.http_headers import Headers

from hs_common.http.credentials import access_token_hash
from hs_common.http.hop import REQUEST_ID_HEADER
from hs_common.matrix.errors import MatrixError

REQUEST_LIMIT_BYTES: Final = 8 * 1024
"""Half of what twisted.web takes for a head. A poll with a filter in its URL has some 2 KiB."""
HEADERS_LIMIT: Final = 100
"""Browsers send twenty, with proxies before us thirty; twisted.web takes 500."""
REMEMBERED_LIMIT: Final = 10_000
"""As many as connections; some 500 bytes each."""

_TARGET: Final = re.compile(rb"[!-~]+")
_FIELD: Final = re.compile(rb"([A-Za-z0-9-]+): ?([!-~](?:[ -~]*[!-~])?)")
# The line that differs between requests of one client, where a proxy or the front door numbers them.
_REQUEST_ID: Final = re.compile(rb"(?:^|(?<=\n))x-request-id: ?([!-~]+)\r\n", re.IGNORECASE)
# What changes how the connection goes on, or says that there is a body; and a second number.
_DECLINED: Final = frozenset(
    (b"content-length", b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade", REQUEST_ID_HEADER)
)


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
        self._remembered_limit = remembered_limit
        self._remembered: dict[bytes, QuickHeaders] = {}

    def read(self, data: bytes) -> QuickRequest | None:
        """The request that the bytes are; None for anything that is not exactly one of the simple shape."""
        first, line_break, fields = data.partition(b"\r\n")
        if not (first.startswith(b"GET ") and first.endswith(b" HTTP/1.1") and line_break):
            return None
        target = first[4:-9]
        path, mark, query_string = target.partition(b"?")
        may_want = self._paths.get(path)
        if may_want is None or not mark or len(data) > REQUEST_LIMIT_BYTES or not may_want(query_string):
            return None
        if _TARGET.fullmatch(target) is None or b"access_token" in query_string:
            return None
        numbered = _REQUEST_ID.search(fields)
        if numbered is not None:
            fields = fields[: numbered.start()] + fields[numbered.end() :]
        headers = self._headers(fields)
        if headers is None:
            return None
        return QuickRequest(path, query_string, None if numbered is None else numbered[1], headers)

    def entries(self) -> int:
        """How many clients' headers are remembered."""
        return len(self._remembered)

    def _headers(self, fields: bytes) -> QuickHeaders | None:
        digest = sha256(fields).digest()
        headers = self._remembered.get(digest)
        if headers is None:
            headers = read_headers(fields)
            if headers is not None:
                if len(self._remembered) >= self._remembered_limit:
                    # The oldest goes; that its client may still be there costs one reading.
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[digest] = headers
        return headers


def read_headers(fields: bytes) -> QuickHeaders | None:
    """What header lines say, the empty line behind them included; None for anything unusual, or without one token."""
    if not fields.endswith(b"\r\n\r\n"):
        return None
    lines = fields[:-4].split(b"\r\n")
    if len(lines) > HEADERS_LIMIT:
        return None
    headers = Headers()
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        name, value = field[1].lower(), field[2]
        if name in _DECLINED or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        headers.addRawHeader(name, value)
    try:
        token_hash = access_token_hash(headers, b"")
    except MatrixError:
        return None
    if token_hash is None:
        return None
    user_agent = headers.getRawHeaders(b"user-agent", [b""])[0].decode("ascii")
    return QuickHeaders(token_hash, user_agent, tuple(headers.getRawHeaders(b"x-forwarded-for", ())))
