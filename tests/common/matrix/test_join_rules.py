"""What join rules say to somebody outside of the room, in versions that know them and in those that do not."""

from typing import Any

import pytest

from hs_common.matrix.join_rules import allowed_rooms, is_knockable, is_restricted
from hs_common.matrix.room_versions import ROOM_VERSIONS


@pytest.mark.parametrize(
    ("join_rule", "version", "restricted", "knockable"),
    [
        ("public", "12", False, False),
        ("restricted", "8", True, False),
        ("restricted", "7", False, False),
        ("knock", "7", False, True),
        ("knock", "6", False, False),
        ("knock_restricted", "10", True, True),
        ("knock_restricted", "9", False, False),
        (None, "12", False, False),
    ],
)
def test_rules_are_known_from_a_version_on(join_rule: Any, version: str, restricted: bool, knockable: bool) -> None:
    rules = ROOM_VERSIONS[version]
    assert (is_restricted(join_rule, rules), is_knockable(join_rule, rules)) == (restricted, knockable)


def test_rooms_that_let_in_are_those_of_membership_conditions() -> None:
    conditions = [
        {"type": "m.room_membership", "room_id": "!a:x"},
        {"type": "m.other", "room_id": "!b:x"},
        {"type": "m.room_membership", "room_id": 7},
        {"type": "m.room_membership"},
        "text",
    ]
    assert allowed_rooms({"allow": conditions}) == ["!a:x"]
    assert allowed_rooms({"allow": "x"}) == allowed_rooms({}) == []
