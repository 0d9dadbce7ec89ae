"""Redaction: the keys that each room version keeps, and what holds for all of them."""

import copy
from typing import Any

import pytest
from hypothesis import given

from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from tests.common.matrix.strategies import moderate, versions_and_pdus

# fmt: off
EVENT_KEYS_V1 = [
    "event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth", "prev_events",
    "prev_state", "auth_events", "origin", "origin_server_ts", "membership",
]
# fmt: on
EVENT_KEYS_V11 = [key for key in EVENT_KEYS_V1 if key not in ("origin", "membership", "prev_state")]

POWER_KEYS = ["ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"]

# Type of event → list of (first room version, keys of content kept from there on). Spec: rooms/v*, #redactions.
CONTENT_KEYS: dict[str, list[tuple[int, list[str]]]] = {
    "m.room.member": [(1, ["membership"]), (9, ["membership", "join_authorised_via_users_server"])],
    "m.room.create": [(1, ["creator"]), (11, ["creator", "room_version", "org.example"])],
    "m.room.join_rules": [(1, ["join_rule"]), (8, ["join_rule", "allow"])],
    "m.room.power_levels": [(1, POWER_KEYS), (11, [*POWER_KEYS, "invite"])],
    "m.room.aliases": [(1, ["aliases"]), (6, [])],
    "m.room.history_visibility": [(1, ["history_visibility"])],
    "m.room.redaction": [(1, []), (11, ["redacts"])],
    "m.room.message": [(1, [])],
    "m.room.third_party_invite": [(1, [])],
}
ALL_CONTENT_KEYS = [
    *POWER_KEYS,
    "membership",
    "join_authorised_via_users_server",
    "creator",
    "room_version",
    "org.example",
    "join_rule",
    "allow",
    "invite",
    "aliases",
    "history_visibility",
    "redacts",
    "body",
    "notifications",
]


def version(number: int) -> RoomVersion:
    return ROOM_VERSIONS[str(number)]


@pytest.mark.parametrize("number", range(1, 13))
def test_top_level_keys(number: int) -> None:
    pdu: dict[str, Any] = {key: key for key in [*EVENT_KEYS_V1, "unsigned", "age_ts", "redacts", "org.example"]}
    pdu["content"] = {}
    assert list(redact(pdu, version(number))) == (EVENT_KEYS_V1 if number < 11 else EVENT_KEYS_V11)


@pytest.mark.parametrize("number", range(1, 13))
@pytest.mark.parametrize("event_type", CONTENT_KEYS)
def test_content_keys(event_type: str, number: int) -> None:
    content = {key: key for key in ALL_CONTENT_KEYS}
    kept = redact({"type": event_type, "content": content}, version(number))["content"]
    expected = [keys for first, keys in CONTENT_KEYS[event_type] if first <= number][-1]
    if event_type == "m.room.create" and number >= 11:
        expected = ALL_CONTENT_KEYS
    assert kept == {key: key for key in expected}


@pytest.mark.parametrize(
    ("number", "content", "kept"),
    [
        (10, {"membership": "invite", "third_party_invite": {"signed": {"token": "t"}}}, {"membership": "invite"}),
        (
            11,
            {"membership": "invite", "third_party_invite": {"signed": {"token": "t"}, "display_name": "Bob"}},
            {"membership": "invite", "third_party_invite": {"signed": {"token": "t"}}},
        ),
        (12, {"third_party_invite": {"signed": 1}}, {"third_party_invite": {"signed": 1}}),
        (11, {"third_party_invite": {"display_name": "Bob"}}, {}),
        (11, {"third_party_invite": "signed"}, {}),
    ],
)
def test_the_signed_part_of_a_third_party_invite(number: int, content: dict[str, Any], kept: dict[str, Any]) -> None:
    assert redact({"type": "m.room.member", "content": content}, version(number))["content"] == kept


@moderate
@given(versions_and_pdus())
def test_redacting_twice_is_redacting_once_and_leaves_the_event_alone(
    case: tuple[RoomVersion, dict[str, Any]],
) -> None:
    room_version, pdu = case
    before = copy.deepcopy(pdu)
    once = redact(pdu, room_version)
    assert redact(once, room_version) == once
    assert pdu == before
    assert once.keys() <= pdu.keys()
