"""Room versions: each flag changes exactly at the version of which the specification says so."""

import dataclasses

import pytest

from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion, StateResolution

ALL = [str(number) for number in range(1, 13)]

# The first version that has the flag set; for those with "until", the last one.
FROM = {
    "event_id_is_hash": 3,
    "event_id_url_safe": 4,
    "enforce_key_validity": 5,
    "enforce_canonical_json": 6,
    "limit_notifications_power_levels": 6,
    "knocking": 7,
    "restricted_joins": 8,
    "knock_restricted_join_rule": 10,
    "integer_power_levels": 10,
    "redacts_in_content": 11,
    "room_id_is_create_hash": 12,
    "privileged_creators": 12,
}
UNTIL = {
    "event_id_domain_must_sign": 2,
    "redaction_checked_by_auth_rules": 2,
    "special_case_aliases_auth": 5,
    "creator_in_content": 10,
    "create_in_auth_events": 11,
}


def test_the_stable_versions_are_known() -> None:
    assert list(ROOM_VERSIONS) == ALL
    assert all(version.identifier == identifier for identifier, version in ROOM_VERSIONS.items())


def test_every_flag_is_in_the_tables_of_this_test() -> None:
    flags = {field.name for field in dataclasses.fields(RoomVersion) if field.type is bool}
    assert flags == FROM.keys() | UNTIL.keys()


@pytest.mark.parametrize(("flag", "first"), FROM.items())
def test_a_flag_begins_with_its_version(flag: str, first: int) -> None:
    assert [getattr(ROOM_VERSIONS[number], flag) for number in ALL] == [int(number) >= first for number in ALL]


@pytest.mark.parametrize(("flag", "last"), UNTIL.items())
def test_a_flag_ends_with_its_version(flag: str, last: int) -> None:
    assert [getattr(ROOM_VERSIONS[number], flag) for number in ALL] == [int(number) <= last for number in ALL]


def test_state_resolution_algorithms() -> None:
    expected = [StateResolution.V1] + [StateResolution.V2] * 10 + [StateResolution.V2_1]
    assert [ROOM_VERSIONS[number].state_resolution for number in ALL] == expected


def test_a_version_is_a_value_that_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROOM_VERSIONS["12"].knocking = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        ROOM_VERSIONS["13"] = ROOM_VERSIONS["12"]  # type: ignore[index]


def test_a_version_shows_its_name_only() -> None:
    assert repr(ROOM_VERSIONS["12"]) == "RoomVersion('12')"
