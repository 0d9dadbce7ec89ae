"""The specification's words on push rules, evaluated naively: no bits, no compiled form, no order tricks.

Spec: client-server API, #push-rules.
"""

import re
from typing import Any

from hs_common.matrix.property_paths import look_up, split
from hs_common.matrix.push_conditions import EventFacts


def naive_actions(rule_set: dict[str, Any], facts: EventFacts, user_id: str, display_name: str | None) -> list[Any]:
    """The actions of the first enabled rule that matches, empty if none does or the event is the user's own."""
    if facts.event["sender"] == user_id:
        return []
    for kind in ("override", "content", "room", "sender", "underride"):
        for rule in rule_set[kind]:
            if rule["enabled"] and _rule_matches(kind, rule, facts, display_name):
                actions: list[Any] = rule["actions"]
                return actions
    return []


def _rule_matches(kind: str, rule: dict[str, Any], facts: EventFacts, display_name: str | None) -> bool:
    if kind == "room":
        return bool(rule["rule_id"] == facts.event["room_id"])
    if kind == "sender":
        return bool(rule["rule_id"] == facts.event["sender"])
    if kind == "content":
        condition = {"kind": "event_match", "key": "content.body", "pattern": rule["pattern"]}
        return _holds(condition, facts, display_name)
    return all(_holds(condition, facts, display_name) for condition in rule["conditions"])


def _holds(condition: dict[str, Any], facts: EventFacts, display_name: str | None) -> bool:
    kind = condition["kind"]
    if kind == "room_member_count":
        return _count_holds(condition["is"], facts.room_member_count)
    if kind == "sender_notification_permission":
        return bool(facts.sender_power_level >= facts.notification_levels.get(condition["key"], 50))
    if kind == "contains_display_name":
        body = facts.event["content"].get("body")
        return bool(display_name) and isinstance(body, str) and _among_words(re.escape(display_name or ""), body)
    if kind not in ("event_match", "event_property_is", "event_property_contains"):
        return False
    found: Any = look_up(facts.event, split(condition["key"]))
    if kind == "event_match":
        return isinstance(found, str) and _glob_holds(condition["key"], condition["pattern"], found)
    values = [found] if kind == "event_property_is" else found
    return isinstance(values, list) and any(
        type(value) is type(condition["value"]) and value == condition["value"] for value in values
    )


def _count_holds(expression: str, count: int) -> bool:
    number = int(expression.lstrip("<>="))
    outcomes = {"<": count < number, ">": count > number, "<=": count <= number, ">=": count >= number}
    return outcomes.get(expression.rstrip("0123456789"), count == number)


def _glob_holds(key: str, pattern: str, text: str) -> bool:
    regex = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    if key == "content.body":
        return _among_words(regex, text)
    return re.fullmatch(regex, text, re.IGNORECASE | re.DOTALL) is not None


def _among_words(regex: str, text: str) -> bool:
    bounded = r"(^|(?<=[^A-Za-z0-9_]))(" + regex + r")($|(?=[^A-Za-z0-9_]))"
    return re.search(bounded, text, re.IGNORECASE | re.DOTALL) is not None
