"""Evaluation of push rules: the compiled form against a plain reading of the specification."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_common.matrix.push_actions import NOTHING, Actions, parse_actions
from hs_common.matrix.push_conditions import EventFacts
from hs_common.matrix.push_rule_edits import merged, put_rule, set_actions, set_enabled
from hs_common.matrix.push_rule_evaluation import CompiledRules, Reader, compile_rules
from hs_common.matrix.push_rules import MENTIONED, PREDEFINED, TARGET, rule_bits
from tests.common.matrix.push_rule_oracle import naive_actions

_ME = "@me:x"
_READER = Reader(_ME, "Me")
_DEFAULT = merged(None, _ME)

_ROOMS = st.sampled_from(["!a:x", "!b:x"])
_SENDERS = st.sampled_from(["@bob:x", "@carol:x", _ME])
_BODIES = st.sampled_from(["tea", "Me, tea time", "cake", "it's tea-time", ""])
_CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "body": _BODIES,
        "msgtype": st.sampled_from(["m.text", "m.notice"]),
        "membership": st.sampled_from(["join", "invite"]),
        "m.mentions": st.fixed_dictionaries(
            {},
            optional={
                "user_ids": st.lists(st.sampled_from([_ME, "@bob:x"]), max_size=2),
                "room": st.booleans(),
            },
        ),
        "m.relates_to": st.sampled_from([{"rel_type": "m.replace"}, {"rel_type": "m.thread"}]),
    },
)
_EVENT_TYPES = st.sampled_from(
    [
        "m.room.message",
        "m.room.encrypted",
        "m.room.member",
        "m.reaction",
        "m.room.tombstone",
        "m.room.server_acl",
        "m.call.invite",
        "x",
    ]
)


@st.composite
def _facts(draw: st.DrawFn) -> EventFacts:
    event: dict[str, Any] = {
        "type": draw(_EVENT_TYPES),
        "sender": draw(_SENDERS),
        "room_id": draw(_ROOMS),
        "content": draw(_CONTENTS),
    }
    state_key = draw(st.sampled_from([None, "", _ME, "@bob:x"]))
    if state_key is not None:
        event["state_key"] = state_key
    levels = draw(st.sampled_from([{}, {"room": 10}]))
    return EventFacts(event, draw(st.integers(1, 3)), draw(st.sampled_from([0, 20, 50])), levels)


_CONDITIONS = st.sampled_from(
    [
        {"kind": "event_match", "key": "room_id", "pattern": "!a:x"},
        {"kind": "event_match", "key": "sender", "pattern": "@b*"},
        {"kind": "event_match", "key": "content.body", "pattern": "t?a"},
        {"kind": "event_match", "key": "type", "pattern": "m.room.*"},
        {"kind": "event_property_is", "key": "content.m\\.mentions.room", "value": True},
        {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": "@bob:x"},
        {"kind": "contains_display_name"},
        {"kind": "room_member_count", "is": ">1"},
        {"kind": "sender_notification_permission", "key": "room"},
        {"kind": "org.example.unknown"},
    ]
)
_ACTIONS = st.sampled_from(
    [[], ["notify"], ["notify", {"set_tweak": "highlight"}], ["notify", {"set_tweak": "sound", "value": "bing"}]]
)
_OWN_RULES = st.one_of(
    st.tuples(
        st.sampled_from(["override", "underride"]),
        st.sampled_from("abc"),
        st.fixed_dictionaries({"actions": _ACTIONS, "conditions": st.lists(_CONDITIONS, max_size=3)}),
    ),
    st.tuples(
        st.just("content"),
        st.sampled_from("abc"),
        st.fixed_dictionaries({"actions": _ACTIONS, "pattern": st.sampled_from(["tea", "ca*", "me"])}),
    ),
    st.tuples(st.just("room"), _ROOMS, st.fixed_dictionaries({"actions": _ACTIONS})),
    st.tuples(st.just("sender"), _SENDERS, st.fixed_dictionaries({"actions": _ACTIONS})),
)


@st.composite
def _rule_sets(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    rule_set = merged(None, _ME)
    for kind, rule_id, body in draw(st.lists(_OWN_RULES, max_size=4)):
        rule_set = put_rule(rule_set, kind, rule_id, body, None, None)
    everything = [(kind, rule["rule_id"]) for kind, rules in rule_set.items() for rule in rules]
    for kind, rule_id in draw(st.lists(st.sampled_from(everything), max_size=3)):
        rule_set = set_enabled(rule_set, kind, rule_id, {"enabled": draw(st.booleans())})
    for kind, rule_id in draw(st.lists(st.sampled_from(everything), max_size=2)):
        rule_set = set_actions(rule_set, kind, rule_id, {"actions": draw(_ACTIONS)})
    return rule_set


@settings(max_examples=200)
@given(_rule_sets(), _facts(), st.sampled_from([None, "Me"]))
def test_the_compiled_form_is_the_plain_evaluation(
    rule_set: dict[str, Any], facts: EventFacts, display_name: str | None
) -> None:
    assert _actions(compile_rules(rule_set), facts, Reader(_ME, display_name)) == parse_actions(
        naive_actions(rule_set, facts, _ME, display_name)
    )


@given(_rule_sets(), _facts())
def test_without_the_event_the_answer_is_the_same_or_none(rule_set: dict[str, Any], facts: EventFacts) -> None:
    rules = compile_rules(rule_set)
    bits, event = _all_bits(facts), facts.event
    without = rules.judge(bits, event["room_id"], event["sender"], _READER)
    assert without in (None, rules.judge(bits, event["room_id"], event["sender"], _READER, facts))


@given(_rule_sets(), _facts(), st.booleans())
def test_rules_decided_for_a_room_say_the_same(rule_set: dict[str, Any], facts: EventFacts, with_event: bool) -> None:
    rules, bits, event = compile_rules(rule_set), _all_bits(facts), facts.event
    room_id, given_event = event["room_id"], facts if with_event else None
    decided = rules.in_room(room_id)
    assert decided.judge(bits, room_id, event["sender"], _READER, given_event) == rules.judge(
        bits, room_id, event["sender"], _READER, given_event
    )


def test_the_mutes_of_other_rooms_are_gone_from_rules_decided_for_a_room() -> None:
    mute = {"actions": [], "conditions": [{"kind": "event_match", "key": "room_id", "pattern": "!a:x"}]}
    rules = compile_rules(put_rule(_DEFAULT, "override", "!a:x", mute, None, None))
    assert len(rules.in_room("!b:x").first) == len(compile_rules(_DEFAULT).first) == len(rules.first) - 1
    assert len(rules.in_room("!a:x").first) == len(rules.first)


def test_the_conditions_on_the_sender_stay_in_rules_decided_for_a_room() -> None:
    conditions = [
        {"kind": "event_match", "key": "room_id", "pattern": "!a:x"},
        {"kind": "event_match", "key": "sender", "pattern": "@bob:x"},
    ]
    rules = compile_rules(put_rule(_DEFAULT, "override", "r", {"actions": [], "conditions": conditions}, None, None))
    decided = rules.in_room("!a:x")
    assert decided.judge(_MESSAGE, "!a:x", "@bob:x", _READER) == NOTHING
    assert decided.judge(_MESSAGE, "!a:x", "@carol:x", _READER) == _NOTIFY


@given(_facts())
def test_default_rules_never_need_the_event(facts: EventFacts) -> None:
    rules = compile_rules(_DEFAULT)
    actions = rules.judge(_all_bits(facts), facts.event["room_id"], facts.event["sender"], _READER)
    assert actions == _actions(rules, facts, _READER)


def _actions(rules: CompiledRules, facts: EventFacts, reader: Reader) -> Actions | None:
    """What an event does for a reader, from the event itself."""
    return rules.judge(_all_bits(facts), facts.event["room_id"], facts.event["sender"], reader, facts)


def _all_bits(facts: EventFacts) -> int:
    event = facts.event
    mentioned = _ME in event["content"].get("m.mentions", {}).get("user_ids", [])
    return rule_bits(facts) | (MENTIONED if mentioned else 0) | (TARGET if event.get("state_key") == _ME else 0)


def _bit(rule_id: str) -> int:
    return next(rule.mask for rule in PREDEFINED if rule.rule_id == rule_id)


_MESSAGE = _bit(".m.rule.message")
_NOTIFY = Actions(notify=True)


def _judge(rule_set: dict[str, Any], bits: int, room_id: str = "!a:x", sender: str = "@bob:x") -> Actions | None:
    return compile_rules(rule_set).judge(bits, room_id, sender, _READER)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0, NOTHING),
        (_MESSAGE, _NOTIFY),
        (_MESSAGE | MENTIONED, Actions(True, True, {"sound": "default", "highlight": True})),
        (_MESSAGE | _bit(".m.rule.is_room_mention"), Actions(True, True, {"highlight": True})),
        (_MESSAGE | _bit(".m.rule.room_one_to_one"), Actions(True, False, {"sound": "default"})),
        (_MESSAGE | _bit(".m.rule.suppress_notices") | MENTIONED, NOTHING),
        (_bit(".m.rule.invite_for_me") | _bit(".m.rule.member_event"), Actions(True, False, {"sound": "default"})),
        (_bit(".m.rule.invite_for_me") & ~TARGET | _bit(".m.rule.member_event"), NOTHING),
        (TARGET | _bit(".m.rule.member_event"), NOTHING),
    ],
)
def test_default_rules_from_bits_alone(bits: int, expected: Actions) -> None:
    assert _judge(_DEFAULT, bits) == expected


def test_own_events_do_nothing() -> None:
    assert _judge(_DEFAULT, _MESSAGE | MENTIONED, sender=_ME) == NOTHING


def test_a_muted_room_needs_no_event_and_neither_do_the_others() -> None:
    mute = {"actions": [], "conditions": [{"kind": "event_match", "key": "room_id", "pattern": "!a:x"}]}
    rule_set = put_rule(_DEFAULT, "override", "!a:x", mute, None, None)
    assert _judge(rule_set, _MESSAGE | MENTIONED, room_id="!a:x") == NOTHING
    assert _judge(rule_set, _MESSAGE, room_id="!b:x") == _NOTIFY


def test_a_keyword_needs_the_event_unless_a_higher_rule_decides() -> None:
    rule_set = put_rule(_DEFAULT, "content", "tea", {"actions": ["notify"], "pattern": "tea"}, None, None)
    assert _judge(rule_set, _MESSAGE) is None
    assert _judge(rule_set, _MESSAGE | MENTIONED) == Actions(True, True, {"sound": "default", "highlight": True})


def test_an_own_underride_rule_may_need_the_event() -> None:
    body = {"actions": [], "conditions": [{"kind": "contains_display_name"}]}
    assert _judge(put_rule(_DEFAULT, "underride", "me", body, None, None), _MESSAGE) is None


def test_the_room_comes_before_the_sender_and_both_before_underride() -> None:
    by_sender = put_rule(_DEFAULT, "sender", "@bob:x", {"actions": []}, None, None)
    assert _judge(by_sender, _MESSAGE) == NOTHING
    both = put_rule(by_sender, "room", "!a:x", {"actions": ["notify", {"set_tweak": "highlight"}]}, None, None)
    assert _judge(both, _MESSAGE) == Actions(True, True, {"highlight": True})
    assert _judge(both, _MESSAGE, room_id="!b:x") == NOTHING


def test_the_master_rule_ends_everything() -> None:
    own = put_rule(_DEFAULT, "override", "all", {"actions": ["notify"]}, None, None)
    assert _judge(own, 0) == _NOTIFY
    assert _judge(set_enabled(own, "override", ".m.rule.master", {"enabled": True}), _MESSAGE | MENTIONED) == NOTHING


def test_a_rule_with_conditions_on_the_event_is_more_to_try() -> None:
    body = {"actions": [], "conditions": [{"kind": "contains_display_name"}]}
    more = put_rule(_DEFAULT, "underride", "me", body, None, None)
    assert compile_rules(more).conditions() == compile_rules(_DEFAULT).conditions() + 1
