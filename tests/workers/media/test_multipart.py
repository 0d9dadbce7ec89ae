"""Bodies in parts: what we write is what others read, and what they write arrives in whatever pieces."""

from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_workers.media.disposition import content_disposition, file_name_of
from hs_workers.media.remote.media_body import MediaBody
from hs_workers.media.remote.multipart import (
    HEADERS_LIMIT,
    PREAMBLE_LIMIT,
    MalformedMultipart,
    MultipartReader,
    around,
    boundary_of,
)
from tests.reactor import run

contents = st.binary(max_size=60) | st.lists(st.sampled_from([b"\r\n", b"--", b"b", b"x", b"\r", b"-"])).map(b"".join)


def read(body: bytes, boundary: str = "b", size: int = 1) -> tuple[dict[str, str], bytes]:
    """The medium in a body that comes in pieces of that size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    async def more() -> bytes:
        return pieces.pop(0) if pieces else b""

    async def play() -> tuple[dict[str, str], bytes]:
        media = MediaBody(boundary.encode(), more)
        headers, data = await media.headers(), b""
        while piece := await media.read():
            data += piece
        return headers, data

    return run(play())


@given(contents.filter(lambda data: b"\r\n--b" not in b"\r\n" + data), st.integers(1, 40))
def test_what_is_written_is_read(data: bytes, size: int) -> None:
    before, after = around("b", {"Content-Type": "image/png", "Content-Disposition": "inline"})
    headers, found = read(before + data + after, size=size)
    assert headers == {"content-type": "image/png", "content-disposition": "inline"}
    assert found == data


@given(st.binary(max_size=100))
def test_others_read_it_too(data: bytes) -> None:
    before, after = around("boundary", {"Content-Type": "image/png", "Content-Transfer-Encoding": "8bit"})
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=boundary\r\n\r\n"
    parts: Any = message_from_bytes(head + before + b"x" + data.hex().encode() + after).get_payload()
    assert [part.get_content_type() for part in parts] == ["application/json", "image/png"]
    first: Message = parts[0]
    assert first.get_payload() == "{}"
    assert parts[1].get_payload() == "x" + data.hex()


def test_other_ways_to_write_it() -> None:
    body = b"to be ignored\r\n--b  \t\r\ncontent-type:application/json\r\n\r\n{}\r\n--b\r\n\r\n\r\nA\r\n\r\n--b--\r\n"
    assert read(body) == ({}, b"\r\nA\r\n")
    assert read(b"--b\r\n\r\n{}\r\n--b\r\nLocation: https://x.org/a\r\n\r\n\r\n--b--") == (
        {"location": "https://x.org/a"},
        b"",
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n",
        b"--b--\r\n",
        b"--b\r\n\r\n{}\r\n--b--\r\n",
        b"--b\r\n\r\n{}\r\n--b\r\nA: b\r\n",
        b"--b\r\n\r\n{}\r\n--b\r\n\r\nhalf",
        b"--b\r\n\r\n{}\r\n--bother\r\n\r\nx\r\n--b--",
        b"x" * (PREAMBLE_LIMIT + 100),
        b"--b" + b" " * 1000,
        b"--b\r\n" + b"A: b\r\n" * HEADERS_LIMIT,
        b"--b\r\n\r\n" + b"x" * 100_000 + b"\r\n--b\r\n\r\nx\r\n--b--",
    ],
)
def test_what_is_not_two_parts(body: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        read(body, size=1000)


@given(
    st.lists(contents | st.sampled_from([b"\r\n--b", b"--b\r\n", b"\r\n\r\n", b"--b--"])).map(b"".join),
    st.integers(1, 9),
)
def test_anything_is_read_or_refused(body: bytes, size: int) -> None:
    """And what is held back stays small."""
    reader = MultipartReader(b"b", lambda headers: None, lambda data: None, lambda: None)
    try:
        for at in range(0, len(body), size):
            reader.feed(body[at : at + size])
        reader.finish()
    except MalformedMultipart:
        assert not reader.is_complete


def test_boundaries() -> None:
    assert boundary_of('multipart/mixed; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Mixed;charset=x; Boundary=abc ; x=y") == b"abc"
    for bad in (
        "",
        "text/plain; boundary=x",
        "multipart/mixed",
        "multipart/mixed; boundary=",
        "multipart/mixed; boundary=é",
    ):
        with pytest.raises(MalformedMultipart):
            boundary_of(bad)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=50).filter(lambda name: "\0" not in name))
def test_a_name_comes_back(name: str) -> None:
    assert file_name_of(content_disposition("image/png", name)) == name


def test_names_as_others_write_them() -> None:
    assert file_name_of('attachment; filename="a \\"b\\".png"') == 'a "b".png'
    assert file_name_of("inline; filename=a.png; x=y") == "a.png"
    assert file_name_of("inline; filename=old.png; filename*=utf-8'en'%C3%A4.png") == "ä.png"
    assert file_name_of('inline; filename="' + "ä".encode().decode("latin-1") + '"') == "ä"
    for none in (None, "", "inline", "inline; filename=", 'inline; filename=""', "inline; filename*=utf-16''x"):
        assert file_name_of(none) is None
