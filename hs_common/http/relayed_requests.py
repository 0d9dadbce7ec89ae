"""Reads a request that is to be passed on as it is, where it came in one piece and has nothing unusual about it, and
makes of its bytes those that the other process gets. Pure.

Rules: those of `whole_requests`. So nobody can smuggle: one length, which is that of all that came; no coding, no
folded line, no bare line break, no header of twice the same meaning. What goes on has the headers that the long way
gives, of the same values in the same order for each name; a test feeds both. What is remembered of a client's headers
are places in them: no header's value but its host and the way of its addresses is kept.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hs_common.http.hop import HOP_HEADER
from hs_common.http.simple_requests import DECLINED, REMEMBERED_LIMIT, ReadOnce, read_fields
from hs_common.http.whole_requests import read_pieces

# Beyond what is declined anyway: what is of this connection alone, and what came from one of our processes.
_DECLINED: Final = DECLINED | {b"keep-alive", b"proxy-connection", HOP_HEADER}


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
        self._known = ReadOnce(_read, remembered_limit)

    def read(self, data: bytes) -> RelayedRequest | None:
        """The request that the bytes are; None for anything that is not exactly one of the simple shape."""
        pieces = read_pieces(data, self._known)
        if pieces is None:
            return None
        method, target, path, _, request_id, fields, known, body = pieces
        going_on = b"".join([fields[begin:stop] for begin, stop in known.places])
        return RelayedRequest(method, target, path, request_id, known.host, known.forwarded_for, going_on, body)

    def entries(self) -> int:
        """How many clients' headers are remembered."""
        return len(self._known)


def _read(lines: bytes) -> _Known | None:
    """What header lines say; None for anything unusual, or without one host."""
    fields = read_fields(lines, _DECLINED)
    if fields is None:
        return None
    places: list[tuple[int, int]] = []
    hosts, forwarded_for = [], []
    for name, value, begin, end in fields:
        if name == b"host":
            hosts.append(value)
        elif name == b"x-forwarded-for":
            forwarded_for.append(value)
        elif name != b"connection":
            if places and places[-1][1] == begin:
                places[-1] = (places[-1][0], end)
            else:
                places.append((begin, end))
    return _Known(tuple(places), hosts[0], tuple(forwarded_for)) if len(hosts) == 1 else None
