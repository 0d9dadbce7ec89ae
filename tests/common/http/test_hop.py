"""What is said between workers, and that nobody can add to it."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from hs_common.http.hop import end_to_end, request_head
from hs_common.http.incoming import Incoming
from hs_common.http.response_reader import parse_head


def incoming(
    method: str = "GET",
    path: str = "/a%2Fb",
    query: bytes = b"",
    headers: dict[bytes, list[bytes]] | None = None,
    request_id: str = "r1",
) -> Incoming:
    return Incoming(method, path, query, Headers(headers or {}), BytesIO(), request_id, "10.0.0.1")


def lines(head: bytes) -> list[bytes]:
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def test_a_request_is_passed_on_with_its_identity() -> None:
    given_headers = {
        b"Host": [b"example.org", b"other"],
        b"Authorization": [b"Bearer x"],
        b"Accept": [b"a", b"b"],
        b"X-Forwarded-For": [b"6.6.6.6"],
        b"X-Request-ID": [b"forged"],
        b"Expect": [b"100-continue"],
        b"Transfer-Encoding": [b"chunked"],
        b"Connection": [b"close"],
    }
    assert lines(request_head(incoming(query=b"a=%20b", headers=given_headers), 0)) == [
        b"GET /a%2Fb?a=%20b HTTP/1.1",
        b"Host: example.org",
        b"X-Viaduct-Hop: 1",
        b"X-Request-ID: r1",
        b"X-Forwarded-For: 10.0.0.1",
        b"Authorization: Bearer x",
        b"Accept: a",
        b"Accept: b",
    ]


def test_the_size_of_the_body_is_told() -> None:
    assert b"Content-Length: 0" in lines(request_head(incoming("POST"), 0))
    assert b"Content-Length: 7" in lines(request_head(incoming("GET"), 7))
    assert b"Transfer-Encoding: chunked" in lines(request_head(incoming("POST"), None))
    assert b"Content-Length" not in request_head(incoming("GET"), 0)


def test_a_path_of_any_bytes_stays_as_it_is() -> None:
    assert request_head(incoming(path=b"/\xe2\x9c\x93".decode("latin-1")), 0).startswith(b"GET /\xe2\x9c\x93 HTTP/1.1")


@settings(max_examples=50)
@given(st.sampled_from(["\r\n", "\n", "\r"]), st.text("ab:", max_size=3), st.integers(0, 3))
def test_no_line_can_be_added(ending: str, more: str, where: int) -> None:
    evil = f"a{ending}{more}"
    broken = (
        incoming(query=evil.encode()),
        incoming(path=evil),
        incoming(method=evil),
        incoming(request_id=evil),
    )[where]
    with pytest.raises(AssertionError):
        request_head(broken, 0)


def test_an_answer_loses_what_was_for_the_hop_alone() -> None:
    head = parse_head(
        b"HTTP/1.1 200 OK\r\nServer: Viaduct\r\nDate: x\r\nConnection: close\r\nkeep-alive: 5\r\nX-Extra: 1\r\n"
        b"Content-length: 3\r\nX-Request-Id: r\r\nContent-Type: text/plain\r\n\r\n"
    )
    assert list(end_to_end(head)) == [(b"X-Extra", b"1"), (b"Content-Type", b"text/plain"), (b"Content-Length", b"3")]
