"""The view of a room's levels."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.power_levels import (
    DEFAULT_LEVELS,
    INFINITE,
    PowerLevels,
    creator,
    privileged_creators,
    read_level,
)
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from tests.common.matrix.room import ALICE, ALL_VERSIONS, BOB, CAROL, create_event, make_event, versions

V1, V10, V12 = (ROOM_VERSIONS[identifier] for identifier in ("1", "10", "12"))


def levels(version: RoomVersion, content: dict[str, Any] | None, **create: Any) -> PowerLevels:
    event = None if content is None else make_event(version, "levels", ALICE, "m.room.power_levels", "", content)
    return PowerLevels(create_event(version, **create), event)


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.identifier)
@pytest.mark.parametrize("content", [None, {}])
def test_defaults(version: RoomVersion, content: dict[str, Any] | None) -> None:
    view = levels(version, content)
    assert (view.ban, view.kick, view.redact, view.invite) == (50, 50, 50, 0)
    assert view.event_level("m.room.topic", is_state=True) == 50
    assert view.event_level("m.room.message", is_state=False) == 0
    assert view.user_level(BOB) == 0


def test_the_creator_without_power_levels_event_has_100_and_from_version_12_more_than_any_number() -> None:
    for version in versions("1-11"):
        assert levels(version, None).user_level(ALICE) == 100
        assert levels(version, {}).user_level(ALICE) == 0
    for content in (None, {}, {"users": {ALICE: 5}}):
        assert levels(V12, content).user_level(ALICE) == INFINITE > 2**53


def test_who_the_creator_is() -> None:
    named = {"creator": BOB, "additional_creators": [CAROL, 5]}
    for version in versions("1-10"):
        assert creator(create_event(version, **named)) == BOB
        assert creator(create_event(version, creator=5)) is None
    for version in versions("11-12"):
        assert creator(create_event(version, **named)) == ALICE
    assert privileged_creators(create_event(V10, **named)) == frozenset()
    assert privileged_creators(create_event(V12, **named)) == {ALICE, CAROL}
    assert privileged_creators(create_event(V12, additional_creators=5)) == {ALICE}
    assert levels(V12, {}, **named).user_level(CAROL) == INFINITE


def test_what_is_given_holds() -> None:
    content = {
        "users": {BOB: 7},
        "users_default": 3,
        "events": {"m.room.topic": 11},
        "events_default": 4,
        "state_default": 5,
        "notifications": {"room": 12},
        "ban": 13,
        "kick": 14,
        "redact": 15,
        "invite": 16,
    }
    view = levels(V12, content)
    assert (view.user_level(BOB), view.user_level(CAROL)) == (7, 3)
    assert view.event_level("m.room.topic", is_state=True) == 11
    assert view.event_level("m.room.topic", is_state=False) == 11
    assert view.event_level("other", is_state=False) == 4
    assert view.event_level("other", is_state=True) == 5
    assert (view.ban, view.kick, view.redact, view.invite) == (13, 14, 15, 16)


@pytest.mark.parametrize("broken", [None, [], "5x", {}, True, float("nan"), 5.5])
def test_what_cannot_be_read_is_not_given(broken: object) -> None:
    view = levels(V12, dict.fromkeys((*DEFAULT_LEVELS, "events", "notifications"), broken) | {"users": {BOB: broken}})
    assert [view.named(name) for name in DEFAULT_LEVELS] == list(DEFAULT_LEVELS.values())
    assert view.user_level(BOB) == 0
    assert view.event_level("m.room.topic", is_state=True) == 50


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (50, 50),
        ("50", 50),
        ("000100", 100),
        ("+100", 100),
        ("-100", -100),
        (" 00100 ", 100),
        (" +100\t", 100),
        ("", None),
        ("+-1", None),
        ("1_000", None),
        ("1.0", None),
        ("\u0661", None),
        ("0x10", None),
        ("1" * 1001, None),
        (5.114698e4, 51146),
        (50.57, 50),
        (-50.57, -50),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_reading_a_level(value: object, level: int | None) -> None:
    for version in versions("1-9"):
        assert read_level(value, version) == level
    for version in versions("10-12"):
        assert read_level(value, version) == (value if type(value) is int else None)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3))
def test_reading_never_fails(value: object) -> None:
    for version in (V1, V10):
        assert isinstance(read_level(value, version), int | None)
