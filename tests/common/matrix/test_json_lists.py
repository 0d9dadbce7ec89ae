"""JSON read in pieces: the same as when it is read whole, wherever it is cut."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix import json_lists
from hs_common.matrix.json_lists import JsonListReader

LISTS = ("state", "auth_chain")
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=8), st.sampled_from(['"', "\\", "]},{"])
)
NAMES = st.text(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.one_of(st.sampled_from(["state", "auth_chain", "event"]), NAMES), VALUES, max_size=5)


def _read(data: bytes, cuts: list[int]) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    reader, at = JsonListReader(LISTS), 0
    found: list[tuple[str, Any]] = []
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        found += reader.feed(data[at:cut])
        at = cut
    found += reader.finish()
    return found, reader.members


@given(OBJECTS, st.lists(st.integers(0, 10_000), max_size=6), st.booleans())
def test_wherever_it_is_cut(value: dict[str, Any], cuts: list[int], spaced: bool) -> None:
    data = orjson.dumps(value, option=orjson.OPT_INDENT_2 if spaced else 0)
    found, members = _read(data, cuts)
    lists = {name: item for name, item in value.items() if name in LISTS and isinstance(item, list)}
    assert members == {name: item for name, item in value.items() if name not in lists}
    assert found == [(name, element) for name, elements in lists.items() for element in elements]


def test_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lists, "FIRST_RETRY", 1)
    data = '{"n":12,"state":[{"a":"é]},"},17,[ ]] , "auth_chain":[],"event":{"x":[1]}}'.encode()
    found, members = _read(data, list(range(len(data))))
    assert found == [("state", {"a": "é]},"}), ("state", 17), ("state", [])]
    assert members == {"n": 12, "event": {"x": [1]}}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{", b'{"a"}', b'{"a":1', b'{"state":[1', b'{"state":[1,]}', b'{"state":[,1]}'),
        *(b'{"a":1,}', b"{} {}"),
        b'{"a":NaN}', b'{"state":[1 2]}', b'{"a":\xff}', b'{"state":' + b"[" * 100_000, b"{'a':1}", b'{"a":1}x',
    ],
)  # fmt: skip
def test_what_is_no_json_object(data: bytes) -> None:
    for cuts in ([], [1, 5, 9]):
        with pytest.raises(ValueError):  # noqa: PT011 - the kind is the promise
            _read(data, cuts)


def test_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lists, "MAXIMUM_ELEMENT", 100)
    monkeypatch.setattr(json_lists, "MAXIMUM_MEMBER", 200)
    for data in (b'{"state":["' + b"x" * 120 + b'"]}', b'{"a":"' + b"x" * 300 + b'"}', b'{"a":"' + b"x" * 300):
        with pytest.raises(ValueError, match="JSON"):
            _read(data, [150])


def test_a_part_that_never_ends_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lists, "MAXIMUM_MEMBER", 1000)
    reader = JsonListReader(LISTS)
    with pytest.raises(ValueError, match="too large"):
        list(reader.feed(b'{"state": ["' + b"a" * 1001))
