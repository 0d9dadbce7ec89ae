"""Entries: what one side writes, the other reads; and broken bytes are named, never skipped."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.replication import items
from hs_common.replication.entry import (
    BrokenEntry,
    Entry,
    UnknownFormat,
    decode_body,
    encode_body,
    from_stream,
    read_stream_id,
    stream_fields,
    stream_id,
)
from hs_common.replication.names import BODY_LIMIT, FORMAT

POSITIONS = st.integers(min_value=0, max_value=2**53 - 1)
TEXT = st.text(max_size=20)
DEVICES = st.builds(items.DevicesItem, TEXT, st.lists(TEXT, max_size=3), st.booleans())
ALIASES = st.builds(items.AliasItem, TEXT, TEXT, st.booleans())
ITEMS = st.lists(st.tuples(POSITIONS, DEVICES | ALIASES), max_size=5)


@given(POSITIONS, ITEMS)
def test_a_body_comes_back(made_ms: int, content: list[tuple[int, items.Item]]) -> None:
    encoded = encode_body(made_ms, [(pos, items.KIND_OF[type(item)], items.encode(item)) for pos, item in content])
    body = decode_body(Entry(1, 2, 1, FORMAT, encoded))
    assert body.made_ms == made_ms
    assert [(item.pos, items.decode(item.kind, item.body)) for item in body.items] == content


@given(POSITIONS, POSITIONS, POSITIONS, st.none() | st.binary(max_size=50))
def test_a_stream_carries_an_entry(epoch: int, pos: int, prev: int, body: bytes | None) -> None:
    entry = Entry(epoch, pos, prev, FORMAT, body)
    assert from_stream(stream_id(epoch, pos), stream_fields(entry, BODY_LIMIT)) == entry


def test_a_large_body_travels_as_a_stub() -> None:
    entry = Entry(1, 5, 4, FORMAT, b"x" * 11)
    assert from_stream(b"1-5", stream_fields(entry, 11)) == entry
    assert from_stream(b"1-5", stream_fields(entry, 10)).body is None


def test_unknown_fields_are_skipped() -> None:
    assert from_stream(b"1-5", [b"z", b"?", b"p", b"4", b"f", b"1", b"b", b"body"]) == Entry(1, 5, 4, 1, b"body")


def test_later_fields_of_a_body_are_skipped() -> None:
    encoded = msgspec.msgpack.encode([7, [[5, "alias", ["#a:b", "!c", False, "later"], "later"]], "later"])
    (item,) = decode_body(Entry(1, 5, 4, FORMAT, encoded)).items
    assert items.decode(item.kind, item.body) == items.AliasItem("#a:b", "!c")


@pytest.mark.parametrize("format", [0, FORMAT + 1])
def test_an_unknown_format_is_never_read(format: int) -> None:
    with pytest.raises(UnknownFormat, match="upgrade"):
        decode_body(Entry(1, 5, 4, format, encode_body(0, [])))


@pytest.mark.parametrize("body", [None, b"", b"\xc1", b"\x90", msgspec.msgpack.encode(["no", []])])
def test_broken_bodies_are_named(body: bytes | None) -> None:
    with pytest.raises(BrokenEntry):
        decode_body(Entry(1, 5, 4, FORMAT, body))


@pytest.mark.parametrize("id", [b"", b"1", b"1-", b"1-2-3", b"a-b"])
def test_broken_ids_are_named(id: bytes) -> None:
    with pytest.raises(BrokenEntry):
        read_stream_id(id)


@pytest.mark.parametrize("fields", [[], [b"p", b"4"], [b"p", b"x", b"f", b"1"]])
def test_entries_without_a_header_are_named(fields: list[bytes]) -> None:
    with pytest.raises(BrokenEntry):
        from_stream(b"1-5", fields)
