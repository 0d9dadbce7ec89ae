"""However a response is cut into pieces it is read the same, and what is no response is refused."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_common.http.response_reader import (
    CHUNK_LINE_LIMIT_BYTES,
    HEAD_LIMIT_BYTES,
    MalformedResponse,
    ResponseReader,
    parse_head,
)

OK = b"HTTP/1.1 200 OK\r\n"
NAMES = st.text("abcXYZ019-_!~", min_size=1, max_size=12).map(lambda name: b"X" + name.encode())
VALUES = st.binary(max_size=20).map(lambda value: value.translate(None, b"\r\n\0").strip(b" \t"))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
BODIES = st.lists(st.binary(min_size=1, max_size=50), max_size=6)


def head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"HTTP/1.1 %d Whatever\r\n%s\r\n" % (status, lines)


def chunked(pieces: list[bytes], trailer: bytes = b"") -> bytes:
    chunks = b"".join(b"%X;a=b\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return chunks + b"0\r\n" + trailer + b"\r\n"


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def read(pieces: list[bytes], is_bodiless: bool = False) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader(is_bodiless)
    return reader, b"".join(reader.feed(piece) for piece in pieces)


@settings(max_examples=60)
@given(HEADERS, BODIES, st.lists(st.integers(0, 2000), max_size=8), st.booleans(), st.sampled_from([b"", b"HTTP/1.1"]))
def test_it_is_read_the_same_in_any_pieces(
    headers: list[tuple[bytes, bytes]], bodies: list[bytes], cuts: list[int], is_chunked: bool, surplus: bytes
) -> None:
    body = b"".join(bodies)
    if is_chunked:
        sent = head(200, [*headers, (b"Transfer-Encoding", b"chunked")]) + chunked(bodies, b"X-Trailer: a\r\n")
    else:
        sent = head(200, [*headers, (b"content-LENGTH", b"%d" % len(body))]) + body
    reader, got = read(cut(sent + surplus, cuts))
    assert got == body
    assert reader.head is not None
    assert reader.head.headers[:-1] == headers
    assert reader.head.length == (None if is_chunked else len(body))
    assert (reader.is_complete, reader.has_surplus) == (True, surplus != b"")
    reader.end()
    unfinished, part = read(cut(sent[:-1], cuts))
    assert not unfinished.is_complete
    assert body.startswith(part)
    with pytest.raises(MalformedResponse):
        unfinished.end()


@settings(max_examples=100)
@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=4), st.sampled_from([b"", OK, OK + b"A: b\r\n"]))
def test_it_takes_any_bytes_or_refuses_them(data: bytes, cuts: list[int], start: bytes) -> None:
    try:
        reader, body = read(cut(start + data, cuts))
    except MalformedResponse:
        return
    assert reader.head is None or (start + data).endswith(body)


def test_a_response_without_length_goes_to_the_end_of_the_connection() -> None:
    reader, body = read([head(200, []), b"a", b"b"])
    assert (body, reader.is_complete) == (b"ab", False)
    reader.end()
    assert reader.is_complete


def test_some_responses_have_no_body() -> None:
    told = [(b"Content-Length", b"5")]
    for status, is_bodiless, length in ((200, True, 5), (304, False, 5), (204, False, None)):
        reader, body = read([head(status, told)], is_bodiless)
        assert reader.head is not None
        assert (reader.is_complete, reader.has_surplus, body, reader.head.length) == (True, False, b"", length)
        assert read([head(status, told) + b"hello"], is_bodiless)[0].has_surplus
    assert read([head(200, [(b"Content-Length", b"0")])])[0].is_complete


def test_whether_the_connection_goes_on_is_said_by_version_and_header() -> None:
    for sent, persistent in (
        (OK, True),
        (b"HTTP/1.0 200\r\n", False),
        (OK + b"Connection: keep-alive\r\n", True),
        (OK + b"CONNECTION: a, Close\r\n", False),
    ):
        assert parse_head(sent + b"\r\n").persistent is persistent


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"A : b\r\n\r\n",
        OK + b": b\r\n\r\n",
        OK + b"A: b\r\n folded\r\n\r\n",
        OK + b"A: b\nC: d\r\n\r\n",
        OK + b"A: b\rC: d\r\n\r\n",
        OK + b"A: b\0\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1, 1\r\n\r\n",
        OK + b"Content-Length: \r\n\r\n",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"A: " + b"a" * HEAD_LIMIT_BYTES,
    ],
)
def test_other_heads_are_refused(sent: bytes) -> None:
    with pytest.raises(MalformedResponse):
        read([sent])


@pytest.mark.parametrize(
    "chunks",
    [
        b"\r\n",
        b"-1\r\n",
        b"0x1\r\na\r\n",
        b"1\r\nab\r\n",
        b"1 a\r\na\r\n",
        b"1000000000000\r\n",
        b"1;" + b"a" * CHUNK_LINE_LIMIT_BYTES,
        b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * (HEAD_LIMIT_BYTES // 30),
    ],
)
def test_other_chunks_are_refused(chunks: bytes) -> None:
    with pytest.raises(MalformedResponse):
        read([head(200, [(b"Transfer-Encoding", b"chunked")]), chunks])
