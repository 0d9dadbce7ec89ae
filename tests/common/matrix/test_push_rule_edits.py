"""Edits of a user's push rules: place, enable, change, delete, and the predefined rules that come with an upgrade."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix import push_rule_edits
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.push_conditions import MAX_PATTERN_LENGTH
from hs_common.matrix.push_rule_edits import (
    MAX_CONDITIONS,
    MAX_RULE_ID_LENGTH,
    RuleSet,
    as_content,
    delete_rule,
    find_rule,
    merged,
    put_rule,
    set_actions,
    set_enabled,
)
from hs_common.matrix.push_rules import KINDS, PREDEFINED

_ME = "@me:x"
_DEFAULT = merged(None, _ME)
_NOTIFY = {"actions": ["notify"]}


def _put(rule_set: RuleSet, rule_id: str, before: str | None = None, after: str | None = None) -> RuleSet:
    return put_rule(rule_set, "override", rule_id, _NOTIFY, before, after)


def _ids(rule_set: RuleSet, kind: str = "override") -> list[str]:
    """The user's own rules of a kind and the master rule, in order."""
    return [rule["rule_id"] for rule in rule_set[kind] if not rule["default"] or rule["rule_id"] == ".m.rule.master"]


_ABC = _put(_put(_put(_DEFAULT, "c"), "b"), "a")


def _refused(errcode: str, status: int = 400) -> Any:
    return pytest.raises(MatrixError, match=f"^{status} {errcode}: ")


def test_the_default_set_has_the_predefined_rules_in_order() -> None:
    assert list(_DEFAULT) == list(KINDS)
    for kind in KINDS:
        assert [rule["rule_id"] for rule in _DEFAULT[kind]] == [
            rule.rule_id for rule in PREDEFINED if rule.kind == kind
        ]


def test_a_new_rule_is_enabled_and_the_most_important_of_the_users() -> None:
    assert _ids(_ABC) == [".m.rule.master", "a", "b", "c"]
    assert find_rule(_ABC, "override", "a") == {
        "rule_id": "a",
        "default": False,
        "enabled": True,
        "actions": ["notify"],
        "conditions": [],
    }
    assert [rule["rule_id"] for rule in _ABC["override"]][4:] == [
        rule.rule_id for rule in PREDEFINED if rule.kind == "override"
    ][1:]


def test_rules_of_a_kind_without_predefined_ones() -> None:
    rule_set = put_rule(_DEFAULT, "room", "!a:x", _NOTIFY, None, None)
    assert rule_set["room"] == [{"rule_id": "!a:x", "default": False, "enabled": True, "actions": ["notify"]}]
    rule_set = put_rule(rule_set, "room", "!b:x", _NOTIFY, None, None)
    assert _ids(rule_set, "room") == ["!b:x", "!a:x"]


@pytest.mark.parametrize(
    ("rule_id", "before", "after", "expected"),
    [
        ("new", "b", None, ["a", "new", "b", "c"]),
        ("new", None, "b", ["a", "b", "new", "c"]),
        ("new", "b", "c", ["a", "new", "b", "c"]),
        ("new", "a", None, ["new", "a", "b", "c"]),
        ("new", None, "c", ["a", "b", "c", "new"]),
        ("b", None, None, ["a", "b", "c"]),
        ("c", "a", None, ["c", "a", "b"]),
        ("a", None, "c", ["b", "c", "a"]),
    ],
)
def test_where_a_rule_goes(rule_id: str, before: str | None, after: str | None, expected: list[str]) -> None:
    assert _ids(_put(_ABC, rule_id, before, after)) == [".m.rule.master", *expected]


def test_a_changed_rule_stays_disabled() -> None:
    disabled = set_enabled(_ABC, "override", "b", {"enabled": False})
    changed = put_rule(disabled, "override", "b", {"actions": []}, None, None)
    assert find_rule(changed, "override", "b")["enabled"] is False
    assert find_rule(changed, "override", "b")["actions"] == []


def test_edits_leave_the_old_set_alone() -> None:
    before = merged(as_content(_ABC), _ME)
    delete_rule(_ABC, "override", "a")
    set_actions(_ABC, "override", "a", {"actions": []})
    set_enabled(_ABC, "override", ".m.rule.master", {"enabled": True})
    assert before == _ABC


@pytest.mark.parametrize("relative", ["nobody", ""])
def test_an_unknown_rule_to_place_by(relative: str) -> None:
    with _refused("M_UNKNOWN") as caught:
        _put(_ABC, "new", before=relative)
    assert caught.value.error == f"before/after rule not found: {relative}"
    with _refused("M_UNKNOWN"):
        _put(_ABC, "new", after=relative)


def test_a_rule_is_not_placed_by_a_predefined_one_or_by_itself() -> None:
    with _refused("M_INVALID_PARAM"):
        _put(_ABC, "new", before=".m.rule.master")
    with _refused("M_UNKNOWN"):
        _put(_ABC, "a", after="a")


@pytest.mark.parametrize("rule_id", [".m.rule.master", ".mine", "", "a/b", "a\\b", "x" * (MAX_RULE_ID_LENGTH + 1)])
def test_rule_ids_that_are_refused(rule_id: str) -> None:
    with _refused("M_INVALID_PARAM"):
        _put(_DEFAULT, rule_id)


@pytest.mark.parametrize(
    ("kind", "body", "errcode"),
    [
        ("device", _NOTIFY, "M_INVALID_PARAM"),
        ("override", {}, "M_MISSING_PARAM"),
        ("override", {"actions": "notify"}, "M_BAD_JSON"),
        ("override", {**_NOTIFY, "conditions": None}, "M_BAD_JSON"),
        ("override", {**_NOTIFY, "conditions": ["event_match"]}, "M_BAD_JSON"),
        ("underride", {**_NOTIFY, "conditions": [{"key": "type"}]}, "M_BAD_JSON"),
        ("underride", {**_NOTIFY, "conditions": [{"kind": "x"}] * (MAX_CONDITIONS + 1)}, "M_INVALID_PARAM"),
        ("content", _NOTIFY, "M_MISSING_PARAM"),
        ("content", {**_NOTIFY, "pattern": 5}, "M_BAD_JSON"),
        ("content", {**_NOTIFY, "pattern": "x" * (MAX_PATTERN_LENGTH + 1)}, "M_INVALID_PARAM"),
    ],
)
def test_bodies_that_are_refused(kind: str, body: dict[str, Any], errcode: str) -> None:
    with _refused(errcode):
        put_rule(_DEFAULT, kind, "new", body, None, None)


def test_only_what_belongs_to_the_kind_is_kept() -> None:
    body = {**_NOTIFY, "pattern": "tea", "conditions": [{"kind": "org.example.unknown"}], "x": 1}
    keys = {"rule_id", "default", "enabled", "actions"}
    for kind, more in {"content": {"pattern"}, "override": {"conditions"}, "room": set(), "sender": set()}.items():
        assert set(find_rule(put_rule(_DEFAULT, kind, "r", body, None, None), kind, "r")) == keys | more


def test_rules_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_rule_edits, "MAX_OWN_RULES", 3)
    assert _ids(_put(_ABC, "b", before="a")) == [".m.rule.master", "b", "a", "c"]
    with _refused("M_TOO_LARGE", 413):
        put_rule(_ABC, "room", "!a:x", _NOTIFY, None, None)


def test_patterns_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_rule_edits, "MAX_TEXT_CONDITIONS", 2)
    room = [{"kind": "event_match", "key": "room_id", "pattern": "!a:x"}] * 9
    text = [{"kind": "event_match", "key": "content.body", "pattern": "a"}, {"kind": "contains_display_name"}]
    full = put_rule(_ABC, "override", "full", {**_NOTIFY, "conditions": [*room, *text]}, None, None)
    with _refused("M_TOO_LARGE", 413):
        put_rule(full, "content", "word", {**_NOTIFY, "pattern": "word"}, None, None)
    with _refused("M_TOO_LARGE", 413):
        put_rule(full, "override", "full", {**_NOTIFY, "conditions": [*text, text[0]]}, None, None)
    fewer = put_rule(full, "override", "full", {**_NOTIFY, "conditions": text[:1]}, None, None)
    put_rule(fewer, "content", "word", {**_NOTIFY, "pattern": "word"}, None, None)
    monkeypatch.setattr(push_rule_edits, "MAX_TEXT_CONDITIONS", 1)  # who had more may change what he has
    put_rule(full, "override", "full", {**_NOTIFY, "conditions": text}, None, None)


def test_delete() -> None:
    assert _ids(delete_rule(_ABC, "override", "b")) == [".m.rule.master", "a", "c"]
    with _refused("M_NOT_FOUND", 404):
        delete_rule(_ABC, "content", "b")
    with _refused("M_INVALID_PARAM"):
        delete_rule(_ABC, "override", ".m.rule.master")
    with _refused("M_NOT_FOUND", 404):
        delete_rule(_ABC, "override", ".m.rule.unknown")


def test_enable_and_actions_also_of_predefined_rules() -> None:
    rule_set = set_enabled(_DEFAULT, "override", ".m.rule.master", {"enabled": True})
    rule_set = set_actions(rule_set, "underride", ".m.rule.message", {"actions": ["dont_notify"]})
    assert find_rule(rule_set, "override", ".m.rule.master")["enabled"] is True
    assert find_rule(rule_set, "underride", ".m.rule.message")["actions"] == []
    assert merged(as_content(rule_set), _ME) == rule_set


@pytest.mark.parametrize(("body", "errcode"), [({}, "M_MISSING_PARAM"), ({"enabled": "true"}, "M_BAD_JSON")])
def test_enabled_is_a_boolean(body: dict[str, Any], errcode: str) -> None:
    with _refused(errcode):
        set_enabled(_DEFAULT, "override", ".m.rule.master", body)


def test_rules_that_do_not_exist() -> None:
    with _refused("M_NOT_FOUND", 404):
        set_enabled(_DEFAULT, "room", "!a:x", {"enabled": True})
    with _refused("M_NOT_FOUND", 404):
        set_actions(_DEFAULT, "room", "!a:x", _NOTIFY)
    with _refused("M_INVALID_PARAM"):
        find_rule(_DEFAULT, "device", "x")


def test_rules_that_the_specification_dropped_vanish_and_new_ones_appear() -> None:
    old_rule = {"rule_id": ".m.rule.contains_user_name", "default": True, "enabled": True, "actions": ["notify"]}
    kept = {"global": {"content": [old_rule], "override": [{"rule_id": "a", "actions": ["notify"], "conditions": []}]}}
    rule_set = merged(kept, _ME)
    assert _ids(rule_set, "content") == []
    assert _ids(rule_set) == [".m.rule.master", "a"]
    assert rule_set["underride"] == _DEFAULT["underride"]


def test_of_two_kept_rules_with_one_id_the_more_important_counts() -> None:
    twice = [{"rule_id": "a", "actions": ["notify"]}, {"rule_id": "a", "actions": []}]
    rule_set = merged({"global": {"room": twice}}, _ME)
    assert [rule["actions"] for rule in rule_set["room"]] == [["notify"]]


def test_the_conditions_of_predefined_rules_are_the_servers() -> None:
    forged = {"rule_id": ".m.rule.message", "enabled": False, "actions": ["notify"], "conditions": [{"kind": "x"}]}
    rule = find_rule(merged({"global": {"underride": [forged]}}, _ME), "underride", ".m.rule.message")
    assert rule == {**find_rule(_DEFAULT, "underride", ".m.rule.message"), "enabled": False}


_KEYS = st.sampled_from(["rule_id", "enabled", "actions", "conditions"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["a", ".m.rule.master", "notify"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_KEYS, below),
    max_leaves=6,
)


@given(st.fixed_dictionaries({"global": st.fixed_dictionaries({"override": st.lists(_JSON), "content": _JSON})}))
def test_whatever_was_kept_gives_a_complete_and_stable_set(content: dict[str, Any]) -> None:
    rule_set = merged(content, _ME)
    assert merged(as_content(rule_set), _ME) == rule_set
    for rules in rule_set.values():
        for rule in rules:
            assert isinstance(rule["rule_id"], str)
            assert isinstance(rule["enabled"], bool)
            assert isinstance(rule["actions"], list)
    assert {rule["rule_id"] for rule in _DEFAULT["override"]} <= {rule["rule_id"] for rule in rule_set["override"]}
