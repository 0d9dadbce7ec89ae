"""Reads a request that is to be passed on as it is, where it came in one piece and has nothing unusual about it, and
makes of its bytes those that the other process gets. Pure.

Rules: bytes that are not exactly of the simple shape are declined, never judged: twisted.web gets the very same bytes
then. So nobody can smuggle: one length, which is that of all that came; no coding, no folded line, no bare line break,
no header of twice the same meaning. What goes on has the headers that the long way gives, of the same values in the
same order for each name; a test feeds both. What a client's headers say is remembered under their digest, as places in
them: no header's value but its host and the way of its addresses is kept.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from hs_common.http.hop import HOP_HEADER, REQUEST_ID_HEADER

HEAD_LIMIT_BYTES: Final = 8 * 1024
"""Half of what twisted.web takes for a head."""
HEADERS_LIMIT: Final = 100
"""Browsers send twenty, with proxies before us thirty; twisted.web takes 500."""
REMEMBERED_LIMIT: Final = 10_000
"""As many as connections; some 500 bytes each."""

_LINE: Final = re.compile(rb"(GET|PUT|POST|DELETE) ((/[!->@-~]*)(?:\?[!-~]+)?) HTTP/1\.1")
_FIELD: Final = re.compile(rb"([A-Za-z0-9-]+): ?([!-~](?:[ -~]*[!-~])?)")
# The lines that differ between requests of one client.
_REQUEST_ID: Final = re.compile(rb"(?:^|(?<=\n))x-request-id: ?([!-~]+)\r\n", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"(?:^|(?<=\n))content-length: ?([0-9]{1,6})\r\n", re.IGNORECASE)
# What changes how the connection goes on or the body is read; a second length or number; what came from a worker.
_DECLINED: Final = frozenset(
    (
        b"content-length", b"expect", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
        b"upgrade", REQUEST_ID_HEADER, HOP_HEADER,
    )
)  # fmt: skip


class RelayedRequest(NamedTuple):
    """A request of the simple shape. `request_id` is what its header says, None without one; `fields` are the header
    lines that go on as they are."""

    method: str
    target: bytes
    path: bytes
    request_id: bytes | None
    host: bytes
    forwarded_for: Sequence[bytes]
    fields: bytes
    body: bytes

    def passed_on(self, request_id: str, client_ip: str) -> bytes:
        """All of it, as another process of ours gets it: see `hop.request_head`."""
        return (
            b"%s %s HTTP/1.1\r\nHost: %s\r\nX-Viaduct-Hop: 1\r\nX-Request-ID: %s\r\nX-Forwarded-For: %s\r\n%s%s\r\n%s"
            % (
                self.method.encode("ascii"),
                self.target,
                self.host,
                request_id.encode("latin-1"),
                client_ip.encode("latin-1"),
                b"" if self.method == "GET" else b"Content-Length: %d\r\n" % len(self.body),
                self.fields,
                self.body,
            )
        )


class _Known(NamedTuple):
    """Where in the header lines stands what goes on: places from and to."""

    places: Sequence[tuple[int, int]]
    host: bytes
    forwarded_for: Sequence[bytes]


class RelayedRequests:
    """Reads requests, and remembers headers."""

    def __init__(self, remembered_limit: int = REMEMBERED_LIMIT) -> None:
        self._remembered_limit = remembered_limit
        self._remembered: dict[bytes, _Known] = {}

    def read(self, data: bytes) -> RelayedRequest | None:
        """The request that the bytes are; None for anything that is not exactly one of the simple shape."""
        end = data.find(b"\r\n\r\n", 0, HEAD_LIMIT_BYTES)
        first, _, fields = data[: end + 2].partition(b"\r\n")
        line = None if end < 0 else _LINE.fullmatch(first)
        if line is None:
            return None
        method, body = line[1].decode("ascii"), data[end + 4 :]
        fields, length = _without(_LENGTH, fields)
        # Without a length there is no body: more bytes are another request's, which has to wait.
        if len(body) != int(length or 0) or (method == "GET" and length is not None):
            return None
        fields, request_id = _without(_REQUEST_ID, fields)
        known = self._known(fields)
        if known is None:
            return None
        going_on = b"".join([fields[begin:stop] for begin, stop in known.places])
        return RelayedRequest(method, line[2], line[3], request_id, known.host, known.forwarded_for, going_on, body)

    def entries(self) -> int:
        """How many clients' headers are remembered."""
        return len(self._remembered)

    def _known(self, fields: bytes) -> _Known | None:
        digest = sha256(fields).digest()
        known = self._remembered.get(digest)
        if known is None:
            known = _read_fields(fields)
            if known is not None:
                if len(self._remembered) >= self._remembered_limit:
                    # The oldest goes; that its client may still be there costs one reading.
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[digest] = known
        return known


def _without(line: re.Pattern[bytes], fields: bytes) -> tuple[bytes, bytes | None]:
    """The header lines without the first of that kind, and its value."""
    found = line.search(fields)
    return (fields, None) if found is None else (fields[: found.start()] + fields[found.end() :], found[1])


def _read_fields(fields: bytes) -> _Known | None:
    """What header lines say, each with its line break; None for anything unusual, or without one host."""
    lines = fields.split(b"\r\n")
    if lines.pop() or len(lines) > HEADERS_LIMIT:
        return None
    places: list[tuple[int, int]] = []
    hosts, forwarded_for, at = [], [], 0
    for line in lines:
        begin, at = at, at + len(line) + 2
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        name, value = field[1].lower(), field[2]
        if name in _DECLINED or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        if name == b"host":
            hosts.append(value)
        elif name == b"x-forwarded-for":
            forwarded_for.append(value)
        elif name != b"connection":
            if places and places[-1][1] == begin:
                places[-1] = (places[-1][0], at)
            else:
                places.append((begin, at))
    return _Known(tuple(places), hosts[0], tuple(forwarded_for)) if len(hosts) == 1 else None
