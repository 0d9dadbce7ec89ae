"""A user's push rule set as kept in the account data `m.push_rules`, and the edits that clients make to it.

The content kept is `{"global": {kind: [rule, …]}}` with the predefined rules in it, since clients read it as it is. Of
a predefined rule only `enabled` and `actions` belong to the user: `merged` takes the rest, and the order, from
push_rules.py, so that rules which a later version of the specification adds or removes appear or vanish by themselves.
Each edit takes the kept content and returns a new one.

Spec: client-server API, #push-rules-api.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hs_common.matrix.errors import MatrixError, bad_json, invalid_param, missing_param, not_found, too_large, unknown
from hs_common.matrix.push_actions import check_actions
from hs_common.matrix.push_conditions import MAX_PATTERN_LENGTH, looks_into_texts
from hs_common.matrix.push_rules import BY_KIND_AND_ID, KINDS, MASTER, PREDEFINED

# A user's own rules. All of them are sent to each of his clients at each change; Element makes one per muted room.
MAX_OWN_RULES = 5000
# Conditions of one rule; each may be tried on every event.
MAX_CONDITIONS = 64
# Conditions of all own rules that search texts: keywords. Each is tried on each message that the user may be told of.
MAX_TEXT_CONDITIONS = 500
# As other identifiers. It holds a room id or a user id.
MAX_RULE_ID_LENGTH = 255

RuleSet = dict[str, list[dict[str, Any]]]


def merged(content: Mapping[str, Any] | None, user_id: str) -> RuleSet:
    """The complete rule set (`global`) of a user with the content kept for him, or the default set for None.

    User-defined rules stand before the predefined ones of their kind, and all stand behind the master rule.
    """
    kept = _kept_rules(content)
    rule_set: RuleSet = {}
    for kind in KINDS:
        own = [rule for (of_kind, _), rule in kept.items() if of_kind == kind and not _is_reserved(rule["rule_id"])]
        predefined = [
            _predefined(rule.as_json(user_id), kept.get((kind, rule.rule_id)))
            for rule in PREDEFINED
            if rule.kind == kind
        ]
        split = 1 if predefined and predefined[0]["rule_id"] == MASTER else 0
        rule_set[kind] = predefined[:split] + own + predefined[split:]
    return rule_set


def as_content(rule_set: RuleSet) -> dict[str, Any]:
    """The content of the account data `m.push_rules`, to keep and to send."""
    return {"global": rule_set}


def find_rule(rule_set: RuleSet, kind: str, rule_id: str) -> dict[str, Any]:
    """The rule, or M_NOT_FOUND; M_INVALID_PARAM for an unknown kind."""
    for rule in _of_kind(rule_set, kind):
        if rule["rule_id"] == rule_id:
            return rule
    raise not_found("The push rule was not found.")


def put_rule(
    rule_set: RuleSet, kind: str, rule_id: str, body: Mapping[str, Any], before: str | None, after: str | None
) -> RuleSet:
    """Create or change a user-defined rule. `before` wins over `after`; without both a new rule comes first of its
    kind and an old one stays where it is. A new rule is enabled, an old one keeps its setting.

    Raises M_INVALID_PARAM, M_MISSING_PARAM, M_BAD_JSON, M_TOO_LARGE; M_UNKNOWN if the rule to place it by is unknown.
    Spec: #put_matrixclientv3pushrulesglobalkindruleid.
    """
    rules = _of_kind(rule_set, kind)
    _check_new_id(rule_id)
    rule = {"rule_id": rule_id, "default": False, "enabled": True, **_checked_body(kind, body)}
    old_place = next((place for place, old in enumerate(rules) if old["rule_id"] == rule_id), None)
    if old_place is None and _count_own(rule_set) >= MAX_OWN_RULES:
        raise too_large(f"A user has at most {MAX_OWN_RULES} push rules")
    if old_place is not None:
        rule["enabled"] = rules[old_place]["enabled"]
    others = [old for old in rules if old["rule_id"] != rule_id]
    place = _place(others, old_place, before, after)
    edited = {**rule_set, kind: [*others[:place], rule, *others[place:]]}
    if _count_text_conditions(edited) > max(MAX_TEXT_CONDITIONS, _count_text_conditions(rule_set)):
        raise too_large(f"A user's push rules search texts for at most {MAX_TEXT_CONDITIONS} patterns")
    return edited


def delete_rule(rule_set: RuleSet, kind: str, rule_id: str) -> RuleSet:
    """Remove a user-defined rule. Raises M_NOT_FOUND; M_INVALID_PARAM for a predefined one."""
    find_rule(rule_set, kind, rule_id)
    if _is_reserved(rule_id):
        raise invalid_param("A predefined push rule can be disabled, but not deleted")
    return {**rule_set, kind: [rule for rule in rule_set[kind] if rule["rule_id"] != rule_id]}


def set_enabled(rule_set: RuleSet, kind: str, rule_id: str, body: Mapping[str, Any]) -> RuleSet:
    """Enable or disable a rule, predefined or not, by a body `{"enabled": bool}`. Raises M_NOT_FOUND, M_BAD_JSON."""
    if "enabled" not in body:
        raise missing_param("`enabled` is missing")
    if not isinstance(body["enabled"], bool):
        raise bad_json("`enabled` must be a boolean")
    return _changed(rule_set, kind, rule_id, "enabled", body["enabled"])


def set_actions(rule_set: RuleSet, kind: str, rule_id: str, body: Mapping[str, Any]) -> RuleSet:
    """Set the actions of a rule, predefined or not, by a body `{"actions": […]}`. Raises M_NOT_FOUND, M_BAD_JSON."""
    return _changed(rule_set, kind, rule_id, "actions", _checked_actions(body))


def _kept_rules(content: Mapping[str, Any] | None) -> dict[tuple[str, str], dict[str, Any]]:
    """The well-formed rules of a kept content by kind and id, in order. Another server may have written it."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    rule_set = _mapping(_mapping(content).get("global"))
    for kind in KINDS:
        rules = rule_set.get(kind)
        for rule in rules if isinstance(rules, list) else ():
            rule_id = _mapping(rule).get("rule_id")
            if isinstance(rule_id, str):
                kept.setdefault((kind, rule_id), _well_formed(rule))
    return kept


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _well_formed(rule: Mapping[str, Any]) -> dict[str, Any]:
    fixed = {**rule, "default": False, "enabled": rule.get("enabled") is not False}
    fixed["actions"] = _list_or_empty(rule.get("actions"))
    if "conditions" in rule:
        fixed["conditions"] = _list_or_empty(rule["conditions"])
    return fixed


def _list_or_empty(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _predefined(rule: dict[str, Any], kept: Mapping[str, Any] | None) -> dict[str, Any]:
    if kept is None:
        return rule
    return {**rule, "enabled": kept["enabled"], "actions": kept["actions"]}


def _is_reserved(rule_id: str) -> bool:
    return rule_id.startswith(".")


def _of_kind(rule_set: RuleSet, kind: str) -> list[dict[str, Any]]:
    if kind not in KINDS:
        raise invalid_param(f"Unknown kind of push rule {kind!r}; the kinds are {', '.join(KINDS)}")
    return rule_set[kind]


def _check_new_id(rule_id: str) -> None:
    if _is_reserved(rule_id):
        raise invalid_param("A rule_id that starts with a dot is reserved for predefined rules")
    if not rule_id or "/" in rule_id or "\\" in rule_id:
        raise invalid_param("A rule_id must not be empty and must not contain slashes or backslashes")
    if len(rule_id) > MAX_RULE_ID_LENGTH:
        raise invalid_param(f"A rule_id has at most {MAX_RULE_ID_LENGTH} characters")


def _checked_body(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {"actions": _checked_actions(body)}
    if kind == "content":
        checked["pattern"] = _checked_pattern(body)
    if kind in ("override", "underride"):
        checked["conditions"] = _checked_conditions(body.get("conditions", []))
    return checked


def _checked_actions(body: Mapping[str, Any]) -> list[Any]:
    if "actions" not in body:
        raise missing_param("`actions` is missing")
    return check_actions(body["actions"])


def _checked_pattern(body: Mapping[str, Any]) -> str:
    if "pattern" not in body:
        raise missing_param("A content rule needs `pattern`")
    pattern = body["pattern"]
    if not isinstance(pattern, str):
        raise bad_json("`pattern` must be a string")
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise invalid_param(f"A pattern has at most {MAX_PATTERN_LENGTH} characters")
    return pattern


def _checked_conditions(conditions: object) -> list[Any]:
    # Kinds that this server does not know are kept: they never match here, but the user's clients may know them.
    if not isinstance(conditions, list) or not all(
        isinstance(condition, dict) and isinstance(condition.get("kind"), str) for condition in conditions
    ):
        raise bad_json("`conditions` must be an array of objects with a string `kind`")
    if len(conditions) > MAX_CONDITIONS:
        raise invalid_param(f"A rule has at most {MAX_CONDITIONS} conditions")
    return conditions


def _count_own(rule_set: RuleSet) -> int:
    return sum(len(rules) for rules in rule_set.values()) - len(BY_KIND_AND_ID)


def _count_text_conditions(rule_set: RuleSet) -> int:
    own = [rule for rules in rule_set.values() for rule in rules if not rule["default"]]
    patterns = sum(1 for rule in own if "pattern" in rule)
    return patterns + sum(1 for rule in own for condition in rule.get("conditions", ()) if _is_text(condition))


def _is_text(condition: object) -> bool:
    return looks_into_texts(_mapping(condition))


def _place(others: Sequence[Mapping[str, Any]], old_place: int | None, before: str | None, after: str | None) -> int:
    if before is not None:
        return _place_of(others, before)
    if after is not None:
        return _place_of(others, after) + 1
    if old_place is not None:
        return old_place
    return 1 if others and others[0]["rule_id"] == MASTER else 0


def _place_of(rules: Sequence[Mapping[str, Any]], rule_id: str) -> int:
    if _is_reserved(rule_id):
        raise invalid_param("A push rule cannot be placed relative to a predefined one")
    for place, rule in enumerate(rules):
        if rule["rule_id"] == rule_id:
            return place
    raise _relative_rule_not_found(rule_id)


def _relative_rule_not_found(rule_id: str) -> MatrixError:
    return unknown(f"before/after rule not found: {rule_id}", status=400)


def _changed(rule_set: RuleSet, kind: str, rule_id: str, key: str, value: object) -> RuleSet:
    find_rule(rule_set, kind, rule_id)
    rules = [{**rule, key: value} if rule["rule_id"] == rule_id else rule for rule in rule_set[kind]]
    return {**rule_set, kind: rules}
