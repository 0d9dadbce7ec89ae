"""A user's push rules about one room, for the room that replaces it. Pure.

Spec: client-server API, #room-upgrades, #push-rules.
"""

from typing import Any, Final

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.push_rule_edits import RuleSet, put_rule

KINDS: Final = ("override", "room", "underride")
"""The kinds of rules that may be about a room: by their id, or by a condition."""


def with_rules_of(rule_set: RuleSet, old_room_id: str, room_id: str) -> RuleSet:
    """The rules, and those about the old room once more for the new one. Rules that are about it already stay."""
    for kind in KINDS:
        # A new rule comes first of its kind, so the last one goes first.
        for rule in reversed([rule for rule in rule_set[kind] if _is_about(rule, old_room_id)]):
            rule_id = room_id if rule["rule_id"] == old_room_id else f"{rule['rule_id']} {room_id}"
            if any(other["rule_id"] == rule_id for other in rule_set[kind]):
                continue
            body: dict[str, Any] = {"actions": rule["actions"]}
            if kind != "room":
                conditions = rule.get("conditions") or []
                body["conditions"] = [_moved(condition, old_room_id, room_id) for condition in conditions]
            try:
                rule_set = put_rule(rule_set, kind, rule_id, body, None, None)
            except MatrixError:
                continue  # there are too many already, or the rule was never valid
            if not rule["enabled"]:
                rule_set = {**rule_set, kind: [_disabled(other, rule_id) for other in rule_set[kind]]}
    return rule_set


def _is_about(rule: dict[str, Any], room_id: str) -> bool:
    if rule.get("default"):
        return False
    conditions = rule.get("conditions") or []
    return rule["rule_id"] == room_id or any(_names(condition, room_id) for condition in conditions)


def _names(condition: dict[str, Any], room_id: str) -> bool:
    return (
        condition.get("kind") == "event_match"
        and condition.get("key") == "room_id"
        and condition.get("pattern") == room_id
    )


def _moved(condition: dict[str, Any], old_room_id: str, room_id: str) -> dict[str, Any]:
    return {**condition, "pattern": room_id} if _names(condition, old_room_id) else condition


def _disabled(rule: dict[str, Any], rule_id: str) -> dict[str, Any]:
    return {**rule, "enabled": False} if rule["rule_id"] == rule_id else rule
