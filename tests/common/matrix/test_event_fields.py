"""`event_fields` of filters: which keys of an event are left."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.event_fields import ALL_FIELDS, EventFields
from hs_common.matrix.property_paths import ABSENT, look_up, split

_EVENT = {
    "type": "m.room.message",
    "content": {"body": "hi", "m.relates_to": {"rel_type": "m.thread", "event_id": "$r"}, "list": [1]},
    "sender": "@a:x",
    "event_id": "$e",
    "origin_server_ts": 1,
    "depth": 3,
    "unsigned": {"age": 1},
}


@pytest.mark.parametrize(
    ("paths", "projected"),
    [
        ([], {"content": {}}),
        (["unsigned"], {"content": {}, "unsigned": {"age": 1}}),
        (["content.body"], {"content": {"body": "hi"}}),
        ([r"content.m\.relates_to.rel_type"], {"content": {"m.relates_to": {"rel_type": "m.thread"}}}),
        (["content", "content.body"], {"content": _EVENT["content"]}),
        (["content.body", "content"], {"content": _EVENT["content"]}),
        (["content.list.0", "sender.x", "depth.x"], {"content": {}}),
        (["missing", "type", "content.missing"], {"content": {}}),
    ],
)
def test_projection(paths: list[str], projected: dict[str, Any]) -> None:
    required = {name: _EVENT[name] for name in ("type", "event_id", "sender", "origin_server_ts")}
    assert EventFields(split(path) for path in paths).project(_EVENT) == required | projected


def test_all_fields_give_the_event_itself() -> None:
    assert ALL_FIELDS.project(_EVENT) is _EVENT
    assert ALL_FIELDS.everything
    assert not EventFields([]).everything


_NAMES = st.sampled_from("abc")
_VALUES = st.recursive(st.integers(0, 3), lambda below: st.dictionaries(_NAMES, below, max_size=3), max_leaves=8)
_PATHS = st.lists(st.lists(_NAMES, min_size=1, max_size=3), max_size=4)


def _leaves(value: Any, names: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        return {names}
    return {leaf for name, below in value.items() for leaf in _leaves(below, (*names, name))}


@given(st.dictionaries(_NAMES, _VALUES, max_size=3), _PATHS)
def test_every_property_asked_for_is_there_and_no_other_leaf_but_required_ones(
    event: dict[str, Any], paths: list[list[str]]
) -> None:
    projected = EventFields(paths).project(event)
    for path in paths:
        assert look_up(projected, path) == look_up(event, path)
    wanted = [tuple(path) for path in paths]
    for leaf in _leaves(projected):
        below_wanted = any(leaf[: len(path)] == path for path in wanted)
        # An object on the way to a property asked for may stay, emptied.
        on_the_way = any(path[: len(leaf)] == leaf for path in wanted)
        assert leaf == () or below_wanted or on_the_way
        assert look_up(event, leaf) is not ABSENT
