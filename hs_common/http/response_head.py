"""A response as bytes: status line, the headers that every response has, and the body in the same piece. Pure."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from twisted.web import http

from hs_common.http.cors import CORS_HEADERS
from hs_common.http.reply import JSON_CONTENT_TYPE, Response

NO_BODY: Final = frozenset((204, 304))
"""Statuses of responses that have no body, not even an empty one."""

_STATUS_LINES: Final = {
    status: b"HTTP/1.1 %d %s\r\n" % (status, reason)
    for status, reason in {**http.RESPONSES, 431: b"Request Header Fields Too Large"}.items()
}
_CORS_BYTES: Final = "".join(f"{name}: {value}\r\n" for name, value in CORS_HEADERS.items()).encode("ascii")


def status_line(status: int) -> bytes:
    """The first line."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


@lru_cache(4)  # the date changes once a second
def common_headers(date: str, persistent: bool) -> bytes:
    """What we say of ourselves; `persistent`: the connection stays open after the response."""
    if persistent:
        return b"Server: Viaduct\r\nDate: %s\r\n" % date.encode("ascii")
    return b"Server: Viaduct\r\nConnection: close\r\nDate: %s\r\n" % date.encode("ascii")


def whole_response(response: Response, common: bytes, *, with_body: bool = True) -> bytes:
    """All of an encoded response; `with_body` False: as the answer to HEAD."""
    body = response.body
    assert isinstance(body, bytes), "a response that has not been encoded"
    head = [status_line(response.status), common, _CORS_BYTES, _header_lines(response.headers)]
    if response.status in NO_BODY:
        return b"".join((*head, b"\r\n"))
    head.append(b"Content-Length: %d\r\n\r\n" % len(body))
    if with_body:
        head.append(body)
    return b"".join(head)


def json_response(json: bytes, common: bytes) -> bytes:
    """The same of a 200 with JSON."""
    return b"%s%d\r\n\r\n%s" % (_json_head(common), len(json), json)


def begun_response(
    status: int, headers: Iterable[tuple[bytes, bytes]], common: bytes, *, may_chunk: bool
) -> tuple[bytes, bool]:
    """The head of a response whose body follows, and whether that has to come in chunks: it does unless the headers
    tell its length, where it may."""
    fields = [b"%s: %s\r\n" % header for header in headers]
    told = b"".join(fields)
    assert told.count(b"\r") == told.count(b"\n") == len(fields), "a header contains a line break"
    is_chunked = (
        may_chunk and status not in NO_BODY and not any(field[:15].lower() == b"content-length:" for field in fields)
    )
    if is_chunked:
        told += b"Transfer-Encoding: chunked\r\n"
    return b"%s%s%s\r\n" % (status_line(status), common, told), is_chunked


@lru_cache(4)
def _json_head(common: bytes) -> bytes:
    lines = (status_line(200), common, _CORS_BYTES, _header_lines({"Content-Type": JSON_CONTENT_TYPE}))
    return b"".join((*lines, b"Content-Length: "))


def _header_lines(headers: Mapping[str, str]) -> bytes:
    return b"".join(_header(name, value) for name, value in headers.items() if name not in CORS_HEADERS)


def _header(name: str, value: str) -> bytes:
    line = f"{name}: {value}\r\n"
    # The one place where a header is put on the wire: whoever splices user input into one is stopped here.
    assert "\n" not in line[:-2] and "\r" not in line[:-2], f"the header {name} contains a line break"  # noqa: PT018
    return line.encode("latin-1")
