"""Tokens: written and read back, ordered, and refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.tokens import (
    RoomToken,
    SlidingToken,
    SyncToken,
    parse_room_token,
    parse_sliding_token,
    parse_sync_token,
)

_POSITIONS = st.integers(0, 2**63 - 1)
_ROOM_TOKENS = st.builds(RoomToken, _POSITIONS, st.integers(-(2**63) + 1, 2**63 - 1))
_SYNC_TOKENS = st.builds(SyncToken, _POSITIONS, _POSITIONS, st.tuples(_POSITIONS, _POSITIONS))


@given(_SYNC_TOKENS)
def test_sync_tokens_round_trip(token: SyncToken) -> None:
    assert parse_sync_token(str(token)) == token
    assert parse_room_token(str(token)) == RoomToken(token.position, 0) == token.room_token()


@given(_ROOM_TOKENS)
def test_room_tokens_round_trip(token: RoomToken) -> None:
    assert parse_room_token(str(token)) == token


def test_the_forms() -> None:
    assert str(SyncToken(12, 3, (1700000000000, 2))) == "s12_3_1700000000000-2"
    assert str(SyncToken(12)) == "s12_0_0-0"
    assert str(RoomToken(12, -3)) == "t12_-3"


def test_room_tokens_are_ordered_as_the_timeline_is() -> None:
    history_before_10 = [RoomToken(10, -2), RoomToken(10, -1)]
    in_order = [RoomToken(9, 0), *history_before_10, RoomToken(10, 0), RoomToken(11, -1), RoomToken(11, 0)]
    assert sorted([in_order[3], in_order[1], in_order[5], in_order[0], in_order[4], in_order[2]]) == in_order


def test_just_before_an_event_is_just_after_nothing_else() -> None:
    assert RoomToken.before(10) == RoomToken(10, -1)
    assert RoomToken.before(10, -1) < RoomToken(10, -1)


_BAD = [
    "",
    "s",
    "s1",
    "s1_2",
    "s1_2_3",
    "s1_2_3-4 ",
    "s-1_2_3-4",
    "s1_2_3-4\n",
    "1",
    "t1",
    "t-1_0",
    "t1_",
    "x1_0",
    "s١_2_3-4",
]


@pytest.mark.parametrize("token", _BAD)
def test_other_strings_are_refused_and_named(token: str) -> None:
    for parse in (parse_sync_token, parse_room_token):
        with pytest.raises(MatrixError) as caught:
            parse(token)
        assert (caught.value.status, caught.value.errcode) == (400, "M_INVALID_PARAM")
        assert repr(token) in caught.value.error


@pytest.mark.parametrize(
    "token", ["s9223372036854775808_0_0-0", "s0_0_0-9999999999999999999", "t0_9223372036854775808"]
)
def test_numbers_beyond_the_database_are_refused(token: str) -> None:
    with pytest.raises(MatrixError):
        parse_room_token(token)


def test_a_room_token_is_no_sync_token() -> None:
    with pytest.raises(MatrixError):
        parse_sync_token("t1_0")


def test_a_long_token_is_not_echoed_at_length() -> None:
    with pytest.raises(MatrixError) as caught:
        parse_sync_token("x" * 10_000)
    assert len(caught.value.error) < 200


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.from_regex(r"[0-9a-f]{16}", fullmatch=True))
def test_sliding_tokens_round_trip_and_name_a_place_in_every_room(position: int, ephemeral: int, version: str) -> None:
    token = SlidingToken(position, ephemeral, version)
    assert parse_sliding_token(str(token)) == token
    assert parse_room_token(str(token)) == token.room_token() == RoomToken(position, 0)


@pytest.mark.parametrize("token", ["", "c1", "s1_2_3-4", f"c{2**63}_0_abc"])
def test_other_strings_are_no_sliding_token(token: str) -> None:
    assert parse_sliding_token(token) is None
