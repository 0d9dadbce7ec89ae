"""Who may see an event: every combination of visibility and membership."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.history_visibility import (
    Point,
    Row,
    joined_after,
    may_see,
    membership_at,
    understood,
    user_may_see,
    value_at,
)

_USER = "@reader:x"
_FOREVER = 2**63 - 1
_VISIBILITIES = ["world_readable", "shared", "invited", "joined"]
_MEMBERSHIPS = ["join", "invite", "knock", "leave", "ban", None]

# For an ordinary event: with each visibility, the memberships that may see it whether or not the reader joined later,
# and those that may see it only if he did.
_TABLE: dict[str, tuple[set[str | None], set[str | None]]] = {
    "world_readable": ({"join", "invite", "knock", "leave", "ban", None}, set()),
    "shared": ({"join"}, {"invite", "knock", "leave", "ban", None}),
    "invited": ({"join", "invite"}, set()),
    "joined": ({"join"}, set()),
}


def _expected(visibility: str, membership: str | None, joined_later: bool) -> bool:
    always, if_joined_later = _TABLE[visibility]
    return membership in always or (joined_later and membership in if_joined_later)


@pytest.mark.parametrize("joined_later", [False, True])
@pytest.mark.parametrize("membership", _MEMBERSHIPS)
@pytest.mark.parametrize("visibility", _VISIBILITIES)
def test_every_combination_for_an_ordinary_event(visibility: str, membership: str | None, joined_later: bool) -> None:
    seen = user_may_see("m.room.message", None, {}, _USER, Point(visibility, membership), joined_later)
    assert seen is _expected(visibility, membership, joined_later)


def test_every_combination_for_a_visibility_event() -> None:
    for before, after, membership, later in itertools.product(
        _VISIBILITIES, _VISIBILITIES, _MEMBERSHIPS, [False, True]
    ):
        content = {"history_visibility": after}
        seen = user_may_see("m.room.history_visibility", "", content, _USER, Point(before, membership), later)
        assert seen is (_expected(before, membership, later) or _expected(after, membership, later))


def test_every_combination_for_the_own_membership() -> None:
    for visibility, before, after, later in itertools.product(
        _VISIBILITIES, _MEMBERSHIPS, _MEMBERSHIPS[:-1], [False, True]
    ):
        content = {"membership": after}
        seen = user_may_see("m.room.member", _USER, content, _USER, Point(visibility, before), later)
        assert seen is (_expected(visibility, before, later) or _expected(visibility, after, later))


def test_the_membership_of_another_user_does_not_count() -> None:
    content = {"membership": "join"}
    assert not user_may_see("m.room.member", "@other:x", content, _USER, Point("joined", "leave"), False)
    assert not user_may_see("m.room.member", None, content, _USER, Point("joined", "leave"), False)


def test_a_visibility_event_with_another_state_key_does_not_count() -> None:
    content = {"history_visibility": "world_readable"}
    assert not user_may_see("m.room.history_visibility", "x", content, _USER, Point("joined", None), False)


def test_a_visibility_event_without_value_sets_the_default() -> None:
    assert user_may_see("m.room.history_visibility", "", {}, _USER, Point("joined", None), True)


@pytest.mark.parametrize("value", [None, 5, "everyone", ["shared"]])
def test_what_is_not_understood_is_shared(value: object) -> None:
    assert understood(value) == "shared"
    assert may_see(Point(None, None), joined_later=True)
    assert not may_see(Point(None, None), joined_later=False)


def test_understood_values() -> None:
    assert [understood(value) for value in _VISIBILITIES] == _VISIBILITIES


_HISTORY: list[Row] = [(3, 7, "invite"), (7, 12, "join"), (15, 20, "leave"), (20, _FOREVER, "join")]


@given(st.integers(0, 30))
def test_value_at_is_the_row_alive(position: int) -> None:
    alive = [value for from_pos, to_pos, value in _HISTORY if from_pos <= position < to_pos]
    assert value_at(_HISTORY, position) == (alive[0] if alive else None)


def test_value_at_without_rows() -> None:
    assert value_at([], 5) is None


@given(st.integers(0, 30))
def test_joined_after_is_a_join_that_begins_later(position: int) -> None:
    assert joined_after(_HISTORY, position) is (position < 20)


@pytest.mark.parametrize(
    ("event_type", "state_key", "content", "before", "shown"),
    [
        ("m.room.message", None, {"membership": "join"}, "join", "join"),
        ("m.room.message", None, {}, None, "leave"),
        ("m.room.member", _USER, {"membership": "ban"}, "join", "ban"),
        ("m.room.member", _USER, {}, "join", "leave"),
        ("m.room.member", "@other:x", {"membership": "ban"}, "invite", "invite"),
    ],
)
def test_membership_at(
    event_type: str, state_key: str | None, content: dict[str, str], before: str | None, shown: str
) -> None:
    assert membership_at(event_type, state_key, content, _USER, before) == shown
