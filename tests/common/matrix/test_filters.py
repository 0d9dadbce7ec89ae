"""Filters: what is refused, and what their matchers let through, against a plain reading of the specification."""

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.filter_lists import EVERY_NAME, MAX_LIST_ENTRIES, MAX_WILDCARD_LENGTH, MAX_WILDCARDS, Selection
from hs_common.matrix.filters import (
    EVERYTHING,
    MAX_LIMIT,
    Filter,
    parse_filter,
    parse_room_event_filter,
)

_TYPES = st.sampled_from(
    ["m.room.message", "m.room.member", "m.room.*", "*", "m.*.message", "M.ROOM.MEMBER", "m.typing"]
)
_EVENT_TYPES = st.sampled_from(["m.room.message", "m.room.member", "m.typing", "m.room.", "x"])
_USERS = st.sampled_from(["@a:x", "@b:x", "@c:x"])
_ROOMS = st.sampled_from(["!a:x", "!b:x", "!c"])


def _lists(entries: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(entries, max_size=3)


_FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "types": _lists(_TYPES),
        "not_types": _lists(_TYPES),
        "senders": _lists(_USERS),
        "not_senders": _lists(_USERS),
        "rooms": _lists(_ROOMS),
        "not_rooms": _lists(_ROOMS),
        "contains_url": st.booleans(),
    },
)


def _listed(json: dict[str, Any], key: str, value: str) -> bool:
    """Absent lists of what is wanted include all; the lists of what is not wanted win. Only types have wildcards."""
    if key == "types":
        wanted = any(fnmatch.fnmatchcase(value, pattern) for pattern in json.get("types", ["*"]))
        unwanted = any(fnmatch.fnmatchcase(value, pattern) for pattern in json.get("not_types", []))
        return wanted and not unwanted
    return value in json.get(key, [value]) and value not in json.get(f"not_{key}", [])


@given(_FILTERS, _EVENT_TYPES, _USERS, _ROOMS, st.booleans())
def test_a_room_event_filter_means_what_the_schema_says(
    json: dict[str, Any], event_type: str, sender: str, room_id: str, has_url: bool
) -> None:
    parsed = parse_room_event_filter(json)
    content = {"url": "mxc://x/y"} if has_url else {"body": "url"}
    expected = _listed(json, "types", event_type) and _listed(json, "senders", sender)
    if "contains_url" in json:
        expected = expected and json["contains_url"] is has_url
    assert parsed.allows_event(event_type, sender, content) is expected
    assert parsed.rooms.allows(room_id) is _listed(json, "rooms", room_id)


@given(_FILTERS, _ROOMS)
def test_the_names_for_a_query_agree_with_the_test(json: dict[str, Any], room_id: str) -> None:
    rooms = parse_room_event_filter(json).rooms
    in_query = (rooms.wanted is None or room_id in rooms.wanted) and room_id not in rooms.unwanted
    assert rooms.allows(room_id) is in_query


def test_what_is_both_wanted_and_unwanted_is_not_asked_for() -> None:
    assert Selection(["!a:x", "!b:x"], ["!b:x", "!c:x"]).wanted == frozenset({"!a:x"})


def test_account_data_has_no_sender() -> None:
    assert Selection().allows(None)
    assert Selection(unwanted=["@a:x"]).allows(None)
    assert not Selection(wanted=["@a:x"]).allows(None)
    assert EVERY_NAME.wanted is None


def test_the_empty_filter_lets_everything_through() -> None:
    parsed = parse_filter({})
    for one in (parsed, EVERYTHING):
        assert one.room.allows_room("!a:x")
        assert one.room.timeline.allows_event("x", "@a:x", {})
        assert one.presence.allows("m.presence", "@a:x")
        assert one.fields.everything
        assert one.event_format == "client"
        assert not one.room.include_leave
        assert not one.room.state.lazy_load_members
        assert one.room.timeline.bounded_limit() == 10


def test_a_whole_filter() -> None:
    parsed = parse_filter(
        {
            "event_fields": ["type", "content.body"],
            "event_format": "federation",
            "presence": {"not_senders": ["@a:x"], "limit": 3},
            "account_data": {"types": ["m.direct"]},
            "room": {
                "rooms": ["!a:x"],
                "include_leave": True,
                "timeline": {"limit": 7, "unread_thread_notifications": True},
                "state": {"lazy_load_members": True, "include_redundant_members": True},
                "ephemeral": {"not_types": ["m.typing"]},
                "account_data": {"types": []},
            },
            "org.example.unknown": 1,
        }
    )
    event = {"type": "t", "sender": "s", "unsigned": {"age": 1}, "content": {"body": "b", "url": "u"}}
    assert parsed.fields.project(event) == {"type": "t", "sender": "s", "content": {"body": "b"}}
    assert parsed.event_format == "federation"
    assert not parsed.presence.allows("m.presence", "@a:x")
    assert parsed.presence.limit == 3
    assert parsed.account_data.allows("m.direct", None)
    assert not parsed.account_data.allows("m.push_rules", None)
    assert not parsed.room.allows_room("!b:x")
    assert parsed.room.include_leave
    assert parsed.room.timeline.bounded_limit() == 7
    assert parsed.room.timeline.unread_thread_notifications
    assert parsed.room.state.lazy_load_members
    assert parsed.room.state.include_redundant_members
    assert not parsed.room.ephemeral.allows("m.typing", None)
    assert not parsed.room.account_data.allows("m.tag", None)
    assert isinstance(parsed, Filter)


def test_the_limit_is_bounded() -> None:
    huge = parse_room_event_filter({"limit": 10**9})
    assert huge.bounded_limit() == MAX_LIMIT
    assert huge.bounded_limit(maximum=20) == 20
    assert parse_room_event_filter({}).bounded_limit(default=30) == 30


_BAD_JSON: list[Any] = [
    None,
    [],
    "filter",
    {"presence": "not_an_object"},
    {"room": []},
    {"room": {"timeline": "x"}},
    {"room": {"state": None}},
    {"room": {"timeline": {"types": "m.*"}}},
    {"room": {"timeline": {"types": [1]}}},
    {"room": {"timeline": {"senders": None}}},
    {"room": {"timeline": {"limit": "10"}}},
    {"room": {"timeline": {"limit": 1.5}}},
    {"room": {"timeline": {"limit": True}}},
    {"room": {"timeline": {"limit": None}}},
    {"room": {"timeline": {"contains_url": 1}}},
    {"room": {"state": {"lazy_load_members": "yes"}}},
    {"room": {"include_leave": 0}},
    {"event_fields": "type"},
    {"event_fields": [["type"]]},
    {"event_format": 1},
]
_INVALID_PARAM: list[Any] = [
    {"room": {"timeline": {"limit": 0}}},
    {"presence": {"limit": -1}},
    {"event_format": "xml"},
    {"room": {"rooms": ["not_a_room_id"]}},
    {"room": {"timeline": {"not_rooms": ["#alias:x"]}}},
    {"room": {"timeline": {"senders": ["not_a_sender_id"]}}},
    {"presence": {"not_senders": ["@nobody"]}},
    {"room": {"timeline": {"types": [f"{number}*" for number in range(MAX_WILDCARDS + 1)]}}},
    {"room": {"timeline": {"types": ["*" * (MAX_WILDCARD_LENGTH + 1)]}}},
    {"room": {"not_rooms": ["!a:x"] * (MAX_LIST_ENTRIES + 1)}},
]


@pytest.mark.parametrize(
    ("json", "errcode"),
    [*((json, "M_BAD_JSON") for json in _BAD_JSON), *((json, "M_INVALID_PARAM") for json in _INVALID_PARAM)],
)
def test_what_the_schema_forbids_is_refused(json: Any, errcode: str) -> None:
    with pytest.raises(MatrixError) as caught:
        parse_filter(json)
    assert (caught.value.status, caught.value.errcode) == (400, errcode)
