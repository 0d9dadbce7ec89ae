"""What clients ask, in both forms, and what is refused of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.tokens import RoomToken, SlidingToken, parse_room_token, parse_sliding_token
from hs_workers.sync.sliding.connection import LIVE, Connection, Sent, decode, encode, version_of
from hs_workers.sync.sliding.parse import parse, parse_unstable
from hs_workers.sync.sliding.question import SlidingRequest
from hs_workers.sync.sliding.required_state import Element, Selector, is_lazy, need, wants

ME = "@me:test"
MEMBER = "m.room.member"


def unstable(body: dict[str, Any]) -> SlidingRequest:
    return parse_unstable(body, None, 0, None, ME, 1_000)


def one_list(**config: Any) -> dict[str, Any]:
    return {"lists": {"a": {"timeline_limit": 1, **config}}}


@pytest.mark.parametrize(
    "body",
    [
        {"lists": []},
        {"lists": {"a": []}},
        {"lists": {"": {}}},
        {"lists": {str(number): {} for number in range(101)}},
        {"room_subscriptions": {str(number): {} for number in range(101)}},
        {"room_subscriptions": {"!a:b": None}},
        {"conn_id": 1},
        {"conn_id": "x" * 256},
        {"pos": 1},
        {"pos": "s1_2_3-4"},
        {"timeout": -1},
        {"timeout": "1"},
        {"set_presence": "away"},
        {"extensions": []},
        {"extensions": {"typing": []}},
        {"extensions": {"typing": {"enabled": 1}}},
        {"extensions": {"to_device": {"enabled": True, "limit": 0}}},
        {"extensions": {"to_device": {"enabled": True, "since": 1}}},
        {"extensions": {"receipts": {"enabled": True, "rooms": [1]}}},
        {"extensions": {"threads": {"enabled": True, "include_roots": 1}}},
        {"lists": {"no opaque identifier": {"timeline_limit": 1}}},
        one_list(range=[1]),
        one_list(range=[2, 1]),
        one_list(range=[-1, 1]),
        one_list(range=[0, 1.5]),
        one_list(range=[False, True]),
        one_list(timeline_limit=-1),
        one_list(timeline_limit=True),
        one_list(timeline_limit="1"),
        one_list(required_state=[]),
        one_list(required_state={"include": {}}),
        one_list(required_state={"include": [[]]}),
        one_list(required_state={"include": [{"type": 1}]}),
        one_list(required_state={"include": [{}] * 201}),
        one_list(required_state={"lazy_members": 1}),
        one_list(filters=[]),
        one_list(filters={"is_dm": 0}),
        one_list(filters={"spaces": "!a:b"}),
        one_list(filters={"room_types": [1]}),
        one_list(filters={"tags": ["x"] * 1001}),
    ],
)
def test_what_is_wrong_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(MatrixError) as refused:
        parse(body, 1_000)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        one_list(ranges=[0, 1]),
        one_list(ranges=[[0, 1]] * 101),
        one_list(required_state={}),
        one_list(required_state=[["a"]]),
        one_list(required_state=[["a", 1]]),
        one_list(required_state=[["a", ""]] * 201),
    ],
)
def test_what_is_wrong_in_the_older_form_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(MatrixError):
        unstable(body)


def test_both_forms_say_the_same() -> None:
    include = [{"type": MEMBER, "state_key": ME}, {"type": "a"}, {}]
    state = {"include": include, "lazy_members": True}
    merged = parse(one_list(range=[0, 9], required_state=state, filters={"is_invited": True}), 1_000)
    pairs = [[MEMBER, "$ME"], [MEMBER, "$LAZY"], ["a", "*"], ["*", "*"]]
    older = unstable(one_list(ranges=[[0, 9]], required_state=pairs, filters={"is_invite": True}))
    assert merged.lists == older.lists
    assert parse({"unknown": 1, "extensions": {"org.unknown": 1}}, 1_000) == SlidingRequest()


def test_limits_are_lowered() -> None:
    request = parse({**one_list(timeline_limit=10**9), "timeout": 10**9}, 1_000)
    assert request.lists["a"].config.timeline_limit == 100
    assert request.timeout_s == 1.0


def test_lazy_members_are_not_what_a_wildcard_means() -> None:
    everything = Element(None, None)
    lazy = frozenset({Selector((everything, Element(MEMBER, ME)), (Element("a", ""),), lazy=True)})
    assert wants(lazy, MEMBER, ME)
    assert not wants(lazy, MEMBER, "@other:test")
    assert wants(lazy, "b", "")
    assert not wants(lazy, "a", "")
    assert is_lazy(lazy)
    assert need(lazy) == (frozenset({(MEMBER, ME)}), frozenset(), True, False)
    whole = frozenset({Selector((everything,))})
    assert not is_lazy(lazy | whole)
    assert wants(lazy | whole, MEMBER, "@other:test")
    assert need(frozenset({Selector((Element("a", None), Element(None, "k")))})).types == {"a"}


def test_connections_are_kept_as_they_are() -> None:
    state = frozenset({Selector((Element(None, "k"), Element("t", None)), (Element("t", ""),), lazy=True)})
    rooms = {"!a:b": Sent(LIVE, 5, state, False), "!c:d": Sent(77, 1, frozenset(), True)}
    connection = Connection(rooms, frozenset({"typing"}))
    body = encode(connection)
    assert decode(body) == connection
    same = Connection(dict(reversed(rooms.items())), frozenset({"typing"}))
    assert version_of(encode(same)) == version_of(body)
    assert version_of(encode(Connection())) != version_of(body)


def test_tokens() -> None:
    token = SlidingToken(12, 34, "0123456789abcdef")
    assert parse_sliding_token(str(token)) == token
    assert parse_room_token(str(token)) == RoomToken(12, 0)
    for wrong in ("", "c1_2", "c1_2_xyz", "c1_2_0123456789abcde", "c99999999999999999999_0_0123456789abcdef"):
        assert parse_sliding_token(wrong) is None


KEYS = (
    *("lists", "room_subscriptions", "extensions", "conn_id", "pos", "timeout", "set_presence", "a", "range", "ranges"),
    *("timeline_limit", "required_state", "include", "exclude", "type", "state_key", "lazy_members", "filters"),
    *("is_dm", "spaces", "room_types", "not_room_types", "tags", "to_device", "typing", "enabled", "limit", "since"),
)
scalars = st.none() | st.booleans() | st.integers(-3, 2**60) | st.floats(allow_nan=False) | st.sampled_from((*KEYS, ""))
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(KEYS), anything, max_size=4))
def test_anything_is_read_or_refused(body: dict[str, Any]) -> None:
    for read in (unstable, lambda body: parse(body, 1_000)):
        try:
            request = read(body)
        except MatrixError as error:
            if error.status != 400:
                raise
        else:
            assert all(one.config.timeline_limit <= 100 for one in request.lists.values())
