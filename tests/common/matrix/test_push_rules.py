"""The predefined push rules: their order, their bits, their JSON."""

import json
from typing import Any

import orjson
import pytest

from hs_common.matrix.push_conditions import EventFacts
from hs_common.matrix.push_rules import MENTIONED, PREDEFINED, TARGET, reader_bits, rule_bits

# The bit numbers are in databases: this table may only grow.
_BITS = {
    ".m.rule.suppress_notices": 0,
    ".m.rule.invite_for_me": 1,
    ".m.rule.member_event": 2,
    ".m.rule.is_room_mention": 3,
    ".m.rule.tombstone": 4,
    ".m.rule.reaction": 5,
    ".m.rule.room.server_acl": 6,
    ".m.rule.suppress_edits": 7,
    ".m.rule.call": 8,
    ".m.rule.encrypted_room_one_to_one": 9,
    ".m.rule.room_one_to_one": 10,
    ".m.rule.message": 11,
    ".m.rule.encrypted": 12,
}


def _bits(
    event_type: str,
    content: dict[str, Any] | None = None,
    state_key: str | None = None,
    members: int = 3,
    level: float = 0,
) -> set[str]:
    event: dict[str, Any] = {"type": event_type, "sender": "@s:x", "room_id": "!r:x", "content": content or {}}
    if state_key is not None:
        event["state_key"] = state_key
    bits = rule_bits(EventFacts(event, members, level, {}))
    return {rule_id for rule_id, bit in _BITS.items() if bits >> bit & 1}


def test_the_bits_are_stable_and_fit_an_integer() -> None:
    assert {rule.rule_id: rule.bit for rule in PREDEFINED if rule.bit is not None} == _BITS
    assert max(_BITS.values()) < 31
    assert min(MENTIONED, TARGET) > 2**31


def test_the_rules_without_bit_ask_nothing_of_the_event_alone() -> None:
    without = {rule.rule_id: rule.mask for rule in PREDEFINED if rule.bit is None}
    assert without == {".m.rule.master": 0, ".m.rule.is_user_mention": MENTIONED}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"event_type": "m.room.topic"}, set()),
        ({"event_type": "m.room.message"}, {".m.rule.message"}),
        ({"event_type": "m.room.message", "members": 2}, {".m.rule.message", ".m.rule.room_one_to_one"}),
        ({"event_type": "m.room.encrypted"}, {".m.rule.encrypted"}),
        ({"event_type": "m.room.encrypted", "members": 2}, {".m.rule.encrypted", ".m.rule.encrypted_room_one_to_one"}),
        (
            {"event_type": "m.room.message", "content": {"msgtype": "m.notice"}},
            {".m.rule.suppress_notices", ".m.rule.message"},
        ),
        ({"event_type": "m.room.member", "content": {"membership": "join"}}, {".m.rule.member_event"}),
        (
            {"event_type": "m.room.member", "content": {"membership": "invite"}, "state_key": "@r:x"},
            {".m.rule.member_event", ".m.rule.invite_for_me"},
        ),
        ({"event_type": "x", "content": {"m.mentions": {"room": True}}, "level": 50}, {".m.rule.is_room_mention"}),
        ({"event_type": "x", "content": {"m.mentions": {"room": True}}, "level": 49}, set()),
        ({"event_type": "m.room.tombstone", "state_key": ""}, {".m.rule.tombstone"}),
        ({"event_type": "m.room.tombstone", "state_key": "x"}, set()),
        ({"event_type": "m.room.tombstone"}, set()),
        ({"event_type": "m.room.server_acl", "state_key": ""}, {".m.rule.room.server_acl"}),
        ({"event_type": "m.reaction"}, {".m.rule.reaction"}),
        ({"event_type": "x", "content": {"m.relates_to": {"rel_type": "m.replace"}}}, {".m.rule.suppress_edits"}),
        ({"event_type": "m.call.invite"}, {".m.rule.call"}),
    ],
)
def test_rule_bits(given: dict[str, Any], expected: set[str]) -> None:
    assert _bits(**given) == expected


def test_reader_bits() -> None:
    assert reader_bits(mentioned=False, is_target=False) == 0
    assert reader_bits(mentioned=True, is_target=False) == MENTIONED
    assert reader_bits(mentioned=True, is_target=True) == MENTIONED | TARGET


def test_rules_as_clients_get_them_name_the_reader_and_are_plain_json() -> None:
    rules = {rule.rule_id: rule.as_json("@me:x") for rule in PREDEFINED}
    assert rules[".m.rule.is_user_mention"] == {
        "rule_id": ".m.rule.is_user_mention",
        "default": True,
        "enabled": True,
        "conditions": [
            {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": "@me:x"},
        ],
        "actions": ["notify", {"set_tweak": "sound", "value": "default"}, {"set_tweak": "highlight"}],
    }
    assert rules[".m.rule.invite_for_me"]["conditions"][2] == {
        "kind": "event_match",
        "key": "state_key",
        "pattern": "@me:x",
    }
    assert json.loads(orjson.dumps(rules)) == rules
    assert not rules[".m.rule.master"]["enabled"]
