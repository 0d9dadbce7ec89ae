"""What one process of ours says to another about a request that it passes on, and what of a head goes no further.

Pure. A request's head is made of what twisted.web has parsed and checked; that it has no line break of its own is
checked here once more, where it would do harm.
"""

from collections.abc import Iterator
from typing import Final

from hs_common.http.incoming import Incoming
from hs_common.http.response_reader import ResponseHead

HOP_HEADER: Final = b"x-viaduct-hop"
REQUEST_ID_HEADER: Final = b"x-request-id"

_HOP_BY_HOP: Final = frozenset(
    (
        b"connection", b"content-length", b"expect", b"host", b"keep-alive", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"x-forwarded-for", REQUEST_ID_HEADER, HOP_HEADER,
    )
)  # fmt: skip
_NOT_GIVEN_BACK: Final = _HOP_BY_HOP | {b"date", b"server"}
"""Whoever writes the response's head to the client says these itself."""
_WITHOUT_BODY: Final = frozenset(("GET", "HEAD"))


def request_head(incoming: Incoming, size_bytes: int | None) -> bytes:
    """The head for a request with a body of that size (None: chunked), the empty line included."""
    uri = incoming.uri_path.encode("latin-1")
    if incoming.query_string:
        uri = b"%s?%s" % (uri, incoming.query_string)
    host = incoming.headers.getRawHeaders(b"host", (b"",))[0]
    lines = [
        b"%s %s HTTP/1.1" % (incoming.method.encode("latin-1"), uri),
        b"Host: %s" % host,
        b"X-Viaduct-Hop: 1",
        b"X-Request-ID: %s" % incoming.request_id.encode("latin-1"),
        # One address, the client's: who else had a hand in it was judged on the way here.
        b"X-Forwarded-For: %s" % incoming.client_ip.encode("latin-1"),
    ]
    if size_bytes is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif size_bytes or incoming.method not in _WITHOUT_BODY:
        lines.append(b"Content-Length: %d" % size_bytes)
    for name, values in incoming.headers.getAllRawHeaders():
        if name.lower() not in _HOP_BY_HOP:
            lines += [b"%s: %s" % (name, value) for value in values]
    head = b"\r\n".join(lines)
    assert head.count(b"\n") == head.count(b"\r") == len(lines) - 1, "a header of the request contains a line break"
    return head + b"\r\n\r\n"


def end_to_end(head: ResponseHead) -> Iterator[tuple[bytes, bytes]]:
    """The headers of a response that are for the client, its length included."""
    for header in head.headers:
        if header[0].lower() not in _NOT_GIVEN_BACK:
            yield header
    if head.length is not None:
        yield b"Content-Length", b"%d" % head.length
