"""Children of spaces: which events name one, and their order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.spaces import MAXIMUM_VIA, Child, child_of, in_order


def event(ts: int = 1, **content: Any) -> dict[str, Any]:
    return {"sender": "@a:one", "origin_server_ts": ts, "content": {"via": ["one"], **content}}


def child(room_id: str, ts: int = 1, **content: Any) -> Child:
    found = child_of(room_id, event(ts, **content))
    assert found is not None
    return found


def test_order_is_that_of_the_specification() -> None:
    """Its example."""
    children = [
        child("!b:example.org", 1640341000000, order=" "),
        child("!a:example.org", 1640141000000, order="aaaa"),
        child("!c:example.org", 1640841000000, order="first"),
        child("!e:example.org", 1640641000000),
        child("!d:example.org", 1640741000000),
    ]
    assert in_order(reversed(children)) == children


def test_equal_orders_go_by_time_and_equal_times_by_room_id() -> None:
    children = [child("!z:x", 1, order="a"), child("!a:x", 2, order="a"), child("!b:x", 2, order="a")]
    assert in_order(reversed(children)) == children


@pytest.mark.parametrize("order", ["", "x" * 51, "é", "\x1f", "\x7f", 1, None, ["a"]])
def test_invalid_order_is_none(order: Any) -> None:
    assert child("!a:x", order=order).order is None


@pytest.mark.parametrize("order", [" ", "~", "x" * 50])
def test_valid_order_counts(order: str) -> None:
    assert child("!a:x", order=order).order == order


@pytest.mark.parametrize(
    ("room_id", "told"),
    [
        ("not a room", event()),
        (None, event()),
        ("!a:x", event(via=[])),
        ("!a:x", event(via="one")),
        ("!a:x", event(via=[1, "no server name!"])),
        ("!a:x", {"sender": "@a:one", "origin_server_ts": 1, "content": {}}),
        ("!a:x", {**event(), "content": []}),
        ("!a:x", {**event(), "sender": 7}),
        ("!a:x", {**event(), "origin_server_ts": "1"}),
    ],
)
def test_what_names_no_child(room_id: Any, told: dict[str, Any]) -> None:
    assert child_of(room_id, told) is None


def test_suggestion_is_true_and_nothing_else_and_servers_are_bounded() -> None:
    assert child("!a:x", suggested=True).is_suggested
    assert not child("!a:x", suggested="true").is_suggested
    assert len(child("!a:x", via=["one"] * 1000).via) == MAXIMUM_VIA


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.text(" ~a", max_size=3)), max_size=12), st.randoms())
def test_order_does_not_depend_on_where_one_begins(parts: list[tuple[int, str | None]], random: Any) -> None:
    children = [child(f"!{number}:x", ts, order=order) for number, (ts, order) in enumerate(parts)]
    shuffled = random.sample(children, len(children))
    assert in_order(shuffled) == in_order(children)
