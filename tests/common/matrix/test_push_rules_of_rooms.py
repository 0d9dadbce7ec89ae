"""Push rules about a room follow to the room that replaces it."""

from typing import Any

from hs_common.matrix import push_rule_edits
from hs_common.matrix.push_rule_edits import RuleSet, find_rule, merged, put_rule, set_enabled
from hs_common.matrix.push_rules_of_rooms import with_rules_of

OLD, NEW = "!old:x", "!new:x"
DEFAULT = merged(None, "@me:x")
IN_OLD = {"kind": "event_match", "key": "room_id", "pattern": OLD}
IN_NEW = {**IN_OLD, "pattern": NEW}
KEYWORD = {"kind": "event_match", "key": "content.body", "pattern": "cake"}


def put(rule_set: RuleSet, kind: str, rule_id: str, *conditions: dict[str, Any]) -> RuleSet:
    body: dict[str, Any] = {"actions": ["notify"]}
    if kind != "room":
        body["conditions"] = list(conditions)
    return put_rule(rule_set, kind, rule_id, body, None, None)


def test_rules_by_id_and_by_condition_are_made_once_more() -> None:
    rules = put(put(put(DEFAULT, "room", OLD), "override", OLD, IN_OLD), "override", "cake", IN_OLD, KEYWORD)
    rules = set_enabled(rules, "override", "cake", {"enabled": False})
    moved = with_rules_of(rules, OLD, NEW)
    assert find_rule(moved, "room", NEW)["actions"] == ["notify"]
    assert find_rule(moved, "override", NEW)["conditions"] == [IN_NEW]
    cake = find_rule(moved, "override", f"cake {NEW}")
    assert (cake["conditions"], cake["enabled"]) == ([IN_NEW, KEYWORD], False)
    own = [rule["rule_id"] for rule in moved["override"] if not rule["default"]]
    assert own == [f"cake {NEW}", NEW, "cake", OLD]
    assert with_rules_of(moved, OLD, NEW) == moved


def test_other_rules_do_not_change() -> None:
    rules = put(put(DEFAULT, "room", "!other:x"), "underride", "cake", KEYWORD)
    assert with_rules_of(rules, OLD, NEW) == rules


def test_rules_that_do_not_fit_any_more_stay_behind(monkeypatch: Any) -> None:
    rules = put(DEFAULT, "room", OLD)
    monkeypatch.setattr(push_rule_edits, "MAX_OWN_RULES", 1)
    assert with_rules_of(rules, OLD, NEW) == rules
