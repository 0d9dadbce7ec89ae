"""What a room passes on to its replacement, from version to version."""

from typing import Any

import pytest

from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_upgrades import (
    carried_entry,
    carried_power_levels,
    carried_state,
    closing_power_levels,
    create_content,
    split_aliases,
)
from hs_common.matrix.room_versions import ROOM_VERSIONS
from tests.common.matrix.an_event import an_event

ALICE, BOB = "@alice:example.org", "@bob:example.org"
V9, V10, V11, V12 = (ROOM_VERSIONS[name] for name in ("9", "10", "11", "12"))


def state(version: str = "11", create: dict[str, Any] | None = None, **contents: Any) -> dict[StateKey, Event]:
    """A room of Alice's, with state by the ends of its types' names."""
    events = {"create": create or {}, **contents}
    return {
        (f"m.room.{name}", ""): an_event(f"m.room.{name}", content, state_key="", version=version)
        for name, content in events.items()
    }


def test_create_event_keeps_its_type_and_names_creators_where_versions_have_them() -> None:
    old = an_event("m.room.create", {"type": "m.space", "m.federate": False, "other": 1}, state_key="")
    kept = {"type": "m.space", "m.federate": False}
    assert create_content(old, V10, BOB, [ALICE]) == {**kept, "room_version": "10", "creator": BOB}
    assert create_content(old, V11, BOB, [ALICE]) == {**kept, "room_version": "11"}
    both = {**kept, "room_version": "12", "additional_creators": [ALICE]}
    assert create_content(old, V12, BOB, [ALICE, BOB, ALICE]) == both
    assert create_content(an_event("m.room.create", state_key=""), V12, BOB, []) == {"room_version": "12"}


def test_recommended_state_is_carried_and_the_rest_is_not() -> None:
    before = state(name={"name": "x"}, join_rules={"join_rule": "public"}, pinned_events={"pinned": []})
    assert carried_state(before, V12) == [
        ("m.room.name", {"name": "x"}),
        ("m.room.join_rules", {"join_rule": "public"}),
    ]
    assert carried_state(state(name={"name": "x"}), V12) == [("m.room.name", {"name": "x"})]


@pytest.mark.parametrize(
    ("join_rule", "version", "carried"),
    [
        ("restricted", V9, "restricted"),
        ("knock_restricted", V9, "invite"),
        ("knock_restricted", V10, "knock_restricted"),
        ("knock", ROOM_VERSIONS["6"], "invite"),
        ("knock", V9, "knock"),
    ],
)
def test_join_rules_that_the_version_does_not_know_become_invite(join_rule: str, version: Any, carried: str) -> None:
    ((_, content),) = carried_state(state(join_rules={"join_rule": join_rule}), version)
    assert content["join_rule"] == carried


def test_power_levels_are_numbers_in_the_new_room() -> None:
    levels = {
        "users": {ALICE: "100", BOB: [], "@c:x": 50.0},
        "events": "none",
        "ban": "60",
        "kick": {},
        "notifications": {"room": 20},
        "org.other": "kept",
    }
    carried = carried_power_levels(state("9", power_levels=levels), V10, {ALICE})
    assert carried == {
        "users": {ALICE: 100, "@c:x": 50},
        "events": {},
        "ban": 60,
        "notifications": {"room": 20},
        "org.other": "kept",
    }


def test_creators_have_no_number_where_they_are_above_all_and_one_where_they_are_not() -> None:
    levels = {"users": {ALICE: 100, BOB: 50}, "events": {"m.room.tombstone": 150}}
    assert carried_power_levels(state(power_levels=levels), V12, {ALICE})["users"] == {BOB: 50}
    before = state("12", {"additional_creators": ["@c:x"]}, power_levels={**levels, "users": {BOB: 50}})
    after = carried_power_levels(before, V11, {BOB})
    assert after["users"] == {ALICE: 150, "@c:x": 150, BOB: 50}


def test_a_room_without_power_levels_gets_them() -> None:
    assert carried_power_levels(state(), V11, {ALICE}) == {"users": {ALICE: 100}}
    assert carried_power_levels(state(), V12, {ALICE}) == {"users": {}}


def test_old_room_is_closed_to_those_without_power() -> None:
    before = state(power_levels={"users_default": 10, "invite": 60, "ban": 40})
    assert closing_power_levels(before) == {"users_default": 10, "invite": 60, "ban": 40, "events_default": 50}
    assert closing_power_levels(state(power_levels={"users_default": 60})) == {
        "users_default": 60,
        "events_default": 61,
        "invite": 61,
    }
    assert closing_power_levels(state(power_levels={"events_default": 50, "invite": 50})) is None
    assert closing_power_levels(state()) is None


def test_aliases_follow_where_they_lead() -> None:
    content = {"alias": "#a:here", "alt_aliases": ["#b:here", "#c:there"]}
    new, old = split_aliases(state(canonical_alias=content), ["#a:here", "#b:here"])
    assert new == {"alias": "#a:here", "alt_aliases": ["#b:here"]}
    assert old == {"alt_aliases": ["#c:there"]}
    assert split_aliases(state(canonical_alias={"alias": "#a:there", "alt_aliases": 7}), ["#b:here"]) == (None, None)
    assert split_aliases(state(), ["#b:here"]) == (None, None)


def test_bans_keep_their_reason_and_children_their_servers() -> None:
    ban = {"membership": "ban", "displayname": "Mallory", "reason": "spam"}
    assert carried_entry("m.room.member", ban) == {"membership": "ban", "reason": "spam"}
    assert carried_entry("m.room.member", {"membership": "ban", "reason": 7}) == {"membership": "ban"}
    assert carried_entry("m.space.child", {"via": ["x"], "order": "a"}) == {"via": ["x"], "order": "a"}
    assert carried_entry("m.space.child", {"order": "a"}) is None
