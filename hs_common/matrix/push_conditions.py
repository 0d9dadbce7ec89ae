"""Conditions of push rules: what a condition asks of an event, compiled once per rule.

A condition of an unknown kind, or one that lacks what its kind requires, never matches. Conditions on the room and on
the sender are kept apart (`CheapCondition`), because they can be answered without the event itself.

Spec: client-server API, #conditions-1.
"""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hs_common.matrix import globs, property_paths

# Longer patterns and display names never match: matching may cost text × pattern. Identifiers have 255 characters.
MAX_PATTERN_LENGTH = 255
# Texts are judged by their beginning. What people write to each other is shorter; a text as long as an event may be
# would cost each condition on it milliseconds.
MAX_TEXT_LENGTH = 8192

# The level for `notifications` keys that the power levels event does not give: the event's schema says it of `room`.
DEFAULT_NOTIFICATION_LEVEL = 50

# `is` of room_member_count. More digits than this exceed any room.
_MEMBER_COUNT = re.compile(r"(==|<=|>=|<|>)?([0-9]{1,18})")
# Power levels were also written as strings until room version 10.
_LEVEL_IN_STRING = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": lambda count, limit: count == limit,
    "<": lambda count, limit: count < limit,
    ">": lambda count, limit: count > limit,
    "<=": lambda count, limit: count <= limit,
    ">=": lambda count, limit: count >= limit,
}
_CHEAP_KEYS = ("room_id", "sender")
_WORD_CHARACTERS = string.ascii_letters + string.digits + "_"


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What conditions may ask about an event besides its reader."""

    # The event as clients get it (type, sender, room_id, event_id, content, state_key …), without `unsigned`.
    event: Mapping[str, Any]
    # Joined members at the event.
    room_member_count: int
    # The sender's power level at the event; infinite for the creators of a version 12 room.
    sender_power_level: float
    # `notifications` of the power levels event at the event.
    notification_levels: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that needs the event: called with its facts and the reader's display name in the room, if any."""

    holds: Callable[[EventFacts, str | None], bool]


@dataclass(frozen=True, slots=True)
class CheapCondition:
    """A condition on the room id (`on_room`) or on the sender alone."""

    on_room: bool
    test: globs.TextTest

    def holds(self, room_id: str, sender: str) -> bool:
        """Whether it holds for an event of this room and sender."""
        return self.test(room_id if self.on_room else sender)


def compile_condition(condition: object) -> Condition | CheapCondition:
    """The test that a condition of a stored rule means."""
    if not isinstance(condition, Mapping):
        return NEVER
    match condition.get("kind"):
        case "event_match":
            return _event_match(condition.get("key"), condition.get("pattern"))
        case "event_property_is":
            return _property_test(condition, _is)
        case "event_property_contains":
            return _property_test(condition, _contains)
        case "contains_display_name":
            return Condition(_contains_display_name)
        case "room_member_count":
            return _room_member_count(condition.get("is"))
        case "sender_notification_permission":
            return _sender_notification_permission(condition.get("key"))
        case _:
            return NEVER


def body_contains(pattern: object) -> Condition | CheapCondition:
    """The predefined condition of `content` rules: the pattern among the words of `content.body`."""
    return _event_match("content.body", pattern)


def looks_into_texts(condition: Mapping[str, Any]) -> bool:
    """Whether a condition of a stored rule searches a text of the event, which takes time with the text's length."""
    kind = condition.get("kind")
    return kind == "contains_display_name" or (kind == "event_match" and condition.get("key") not in _CHEAP_KEYS)


NEVER = CheapCondition(on_room=True, test=lambda _room_id: False)


def _event_match(key: object, pattern: object) -> Condition | CheapCondition:
    if not isinstance(key, str) or not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_LENGTH:
        return NEVER
    test = globs.words(pattern) if key == "content.body" else globs.whole(pattern)
    if key in _CHEAP_KEYS:
        return CheapCondition(on_room=key == "room_id", test=test)
    return Condition(partial(_match_string, property_paths.split(key), test))


def _match_string(names: Sequence[str], test: globs.TextTest, facts: EventFacts, _display_name: str | None) -> bool:
    value = property_paths.look_up(facts.event, names)
    return isinstance(value, str) and test(_beginning(value))


def _beginning(text: str) -> str:
    """What is looked at of a text. A word that the bound cuts is left out, or its half would match as a word."""
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    beginning = text[:MAX_TEXT_LENGTH]
    return beginning.rstrip(_WORD_CHARACTERS) if text[MAX_TEXT_LENGTH] in _WORD_CHARACTERS else beginning


def _property_test(condition: Mapping[str, Any], test: Callable[[Any, Any], bool]) -> Condition | CheapCondition:
    key, value = condition.get("key"), condition.get("value", property_paths.ABSENT)
    if not isinstance(key, str) or not _is_simple(value):
        return NEVER
    names = property_paths.split(key)
    return Condition(lambda facts, _display_name: test(property_paths.look_up(facts.event, names), value))


def _is_simple(value: object) -> bool:
    return value is None or isinstance(value, (str, int))


def _is(found: object, value: object) -> bool:
    # Types are not cast: in Python True equals 1.
    return type(found) is type(value) and found == value


def _contains(found: object, value: object) -> bool:
    return isinstance(found, list) and any(_is(entry, value) for entry in found)


def _contains_display_name(facts: EventFacts, display_name: str | None) -> bool:
    if not display_name or len(display_name) > MAX_PATTERN_LENGTH:
        return False
    body = property_paths.look_up(facts.event, ("content", "body"))
    return isinstance(body, str) and globs.literal_words(display_name)(_beginning(body))


def _room_member_count(expression: object) -> Condition | CheapCondition:
    parsed = _MEMBER_COUNT.fullmatch(expression) if isinstance(expression, str) else None
    if parsed is None:
        return NEVER
    compare, limit = _COMPARISONS[parsed[1] or "=="], int(parsed[2])
    return Condition(lambda facts, _display_name: compare(facts.room_member_count, limit))


def _sender_notification_permission(key: object) -> Condition | CheapCondition:
    if not isinstance(key, str):
        return NEVER
    return Condition(lambda facts, _display_name: facts.sender_power_level >= _notification_level(facts, key))


def _notification_level(facts: EventFacts, key: str) -> float:
    level = facts.notification_levels.get(key)
    if isinstance(level, str) and _LEVEL_IN_STRING.fullmatch(level):
        return int(level)
    return level if isinstance(level, (int, float)) else DEFAULT_NOTIFICATION_LEVEL
