"""Conditions of push rules, each with what it matches and what not."""

from typing import Any

import pytest

from hs_common.matrix.push_conditions import (
    MAX_PATTERN_LENGTH,
    MAX_TEXT_LENGTH,
    CheapCondition,
    EventFacts,
    body_contains,
    compile_condition,
)

_EVENT = {
    "type": "m.room.message",
    "sender": "@bob:x",
    "room_id": "!room:x",
    "event_id": "$e",
    "origin_server_ts": 5,
    "content": {
        "body": "Hello Alice Cooper, tea time",
        "m.federate": True,
        "one": 1,
        "none": None,
        "alt_aliases": ["#somewhere:x", 1, None, {"a": 1}],
        "float": 1.5,
    },
}


def _facts(**changes: Any) -> EventFacts:
    values: dict[str, Any] = {
        "event": _EVENT,
        "room_member_count": 3,
        "sender_power_level": 50,
        "notification_levels": {},
        **changes,
    }
    return EventFacts(**values)


def _holds(condition: object, facts: EventFacts | None = None, display_name: str | None = None) -> bool:
    compiled = compile_condition(condition)
    if isinstance(compiled, CheapCondition):
        return compiled.holds("!room:x", "@bob:x")
    return compiled.holds(facts or _facts(), display_name)


def _match(key: object, pattern: object) -> dict[str, object]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _is(key: object, value: object) -> dict[str, object]:
    return {"kind": "event_property_is", "key": key, "value": value}


def _contains(key: object, value: object) -> dict[str, object]:
    return {"kind": "event_property_contains", "key": key, "value": value}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (_match("type", "m.ROOM.*"), True),
        (_match("type", "m.room"), False),
        (_match("content.body", "tea"), True),
        (_match("content.body", "te"), False),
        (_match("content.one", "*"), False),
        (_match("content.missing", "*"), False),
        (_match("room_id", "!ROOM:?"), True),
        (_match("room_id", "!other:x"), False),
        (_match("sender", "@bob:*"), True),
        (_match("sender", "@alice:*"), False),
        (_match("type", "*" * (MAX_PATTERN_LENGTH + 1)), False),
        (_match("type", None), False),
        (_match(None, "*"), False),
        (_is(r"content.m\.federate", True), True),
        (_is(r"content.m\.federate", 1), False),
        (_is(r"content.m\.federate", "true"), False),
        (_is("content.one", 1), True),
        (_is("content.one", True), False),
        (_is("content.none", None), True),
        (_is("content.missing", None), False),
        (_is("content.float", 1.5), False),
        (_is("content.alt_aliases", ["#somewhere:x"]), False),
        (_is(5, 1), False),
        ({"kind": "event_property_is", "key": "content.none"}, False),
        (_contains("content.alt_aliases", "#somewhere:x"), True),
        (_contains("content.alt_aliases", ":x"), False),
        (_contains("content.alt_aliases", True), False),
        (_contains("content.alt_aliases", None), True),
        (_contains("content.alt_aliases", {"a": 1}), False),
        (_contains("content.body", "H"), False),
        ({"kind": "room_member_count", "is": "3"}, True),
        ({"kind": "room_member_count", "is": "==3"}, True),
        ({"kind": "room_member_count", "is": "<3"}, False),
        ({"kind": "room_member_count", "is": ">2"}, True),
        ({"kind": "room_member_count", "is": "<=3"}, True),
        ({"kind": "room_member_count", "is": ">=4"}, False),
        ({"kind": "room_member_count", "is": "!=3"}, False),
        ({"kind": "room_member_count", "is": "=3"}, False),
        ({"kind": "room_member_count", "is": 3}, False),
        ({"kind": "room_member_count"}, False),
        ({"kind": "sender_notification_permission"}, False),
        ({"kind": "org.example.unknown"}, False),
        ({}, False),
        ("event_match", False),
    ],
)
def test_conditions(condition: object, expected: bool) -> None:
    assert _holds(condition) is expected


@pytest.mark.parametrize(
    ("level", "levels", "expected"),
    [
        (50, {}, True),
        (49, {}, False),
        (49, {"room": 20}, True),
        (49, {"room": 60}, False),
        (49, {"room": " 20 "}, True),
        (49, {"room": "much"}, False),
        (49, {"room": None}, False),
        (49, {"room": 48.5}, True),
        (float("inf"), {"room": 2**53 - 1}, True),
    ],
)
def test_notification_permission(level: float, levels: dict[str, Any], expected: bool) -> None:
    facts = _facts(sender_power_level=level, notification_levels=levels)
    assert _holds({"kind": "sender_notification_permission", "key": "room"}, facts) is expected


@pytest.mark.parametrize(
    ("display_name", "expected"),
    [("alice cooper", True), ("Alice C", False), ("A*e", False), ("", False), (None, False), ("x" * 256, False)],
)
def test_the_display_name(display_name: str | None, expected: bool) -> None:
    event = {**_EVENT, "content": {"body": "Hello Alice Cooper, " + "x" * 256}}
    assert _holds({"kind": "contains_display_name"}, _facts(event=event), display_name) is expected


def test_the_display_name_in_an_event_without_body() -> None:
    facts = _facts(event={**_EVENT, "content": {"body": 5}})
    assert not _holds({"kind": "contains_display_name"}, facts, "alice")


@pytest.mark.parametrize(("pattern", "expected"), [("tea", True), ("coffee", False), (None, False)])
def test_the_condition_of_content_rules(pattern: object, expected: bool) -> None:
    compiled = body_contains(pattern)
    holds = compiled.holds("", "") if isinstance(compiled, CheapCondition) else compiled.holds(_facts(), None)
    assert holds is expected


def test_conditions_on_room_and_sender_need_no_event() -> None:
    assert isinstance(compile_condition(_match("room_id", "!r")), CheapCondition)
    assert isinstance(compile_condition(_match("sender", "@s")), CheapCondition)
    assert not isinstance(compile_condition(_match("event_id", "$e")), CheapCondition)


def test_long_texts_are_judged_by_their_beginning() -> None:
    filler = "x " * (MAX_TEXT_LENGTH // 2 - 3)  # six characters are left

    def told(end: str) -> EventFacts:
        return _facts(event={**_EVENT, "content": {"body": filler + end, "name": filler + end}})

    searched = _match("content.body", "tea")
    assert _holds(searched, told("x tea time"))
    assert not _holds(searched, told("x, , , tea"))
    assert not _holds(searched, told(" x teapot"))
    assert not _holds(searched, told("  xtea"))
    assert not _holds({"kind": "contains_display_name"}, told(" x teapot"), "tea")
    assert _holds({"kind": "contains_display_name"}, told("tea"), "tea")
    assert _holds(_match("content.name", "x *"), told("y" * 100))
    assert not _holds(_match("content.name", "*y"), told(" " * 10 + "y"))
