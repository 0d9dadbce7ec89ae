"""Receipts as servers and clients exchange them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.receipts_edu import (
    MAX_RECEIPTS,
    READ,
    READ_PRIVATE,
    Receipt,
    parse_receipt_edu,
    receipt_edus,
    receipt_events,
)

_RECEIPTS = st.builds(
    Receipt,
    st.sampled_from(["!a:x", "!b:x"]),
    st.just(READ),
    st.sampled_from(["@a:x", "@b:x"]),
    st.sampled_from(["$1", "$2"]),
    st.integers(0, 9),
    st.sampled_from([None, "main", "$root"]),
)


@given(st.lists(_RECEIPTS, max_size=8))
def test_what_is_told_comes_back_the_last_of_each_thread(receipts: list[Receipt]) -> None:
    last = {(receipt.room_id, receipt.user_id, receipt.thread_id): receipt for receipt in receipts}
    received = [receipt for content in receipt_edus(receipts) for receipt in parse_receipt_edu(content, "x")]
    assert sorted(received, key=repr) == sorted(last.values(), key=repr)


def test_private_receipts_are_not_federated() -> None:
    with pytest.raises(AssertionError):
        receipt_edus([Receipt("!a:x", READ_PRIVATE, "@a:x", "$1", 1)])


_GOOD = {"event_ids": ["$1"], "data": {"ts": 5}}


def _edu(value: Any, user_id: str = "@a:x", room_id: str = "!a:x", receipt_type: str = READ) -> dict[str, Any]:
    return {room_id: {receipt_type: {user_id: value}}}


def test_a_received_receipt() -> None:
    assert parse_receipt_edu(_edu(_GOOD), "x") == [Receipt("!a:x", READ, "@a:x", "$1", 5)]
    threaded = {"event_ids": ["$1"], "data": {"ts": 5, "thread_id": "main"}}
    assert parse_receipt_edu(_edu(threaded), "x") == [Receipt("!a:x", READ, "@a:x", "$1", 5, "main")]


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"!a:x": None},
        {"!a:x": {READ: []}},
        _edu(_GOOD, user_id="@a:other"),
        _edu(_GOOD, user_id="@a:evilx"),
        _edu(_GOOD, user_id="@a:x:x"),
        _edu(_GOOD, user_id="a:x"),
        _edu(_GOOD, room_id="#a:x"),
        _edu(_GOOD, receipt_type=READ_PRIVATE),
        _edu("$1"),
        _edu({**_GOOD, "event_ids": "$1"}),
        _edu({**_GOOD, "event_ids": []}),
        _edu({**_GOOD, "event_ids": ["$1", "$2"]}),
        _edu({**_GOOD, "event_ids": [1]}),
        _edu({**_GOOD, "event_ids": ["$" * 256]}),
        _edu({**_GOOD, "data": {}}),
        _edu({**_GOOD, "data": {"ts": True}}),
        _edu({**_GOOD, "data": {"ts": "5"}}),
        _edu({**_GOOD, "data": {"ts": 5, "thread_id": ""}}),
        _edu({**_GOOD, "data": {"ts": 5, "thread_id": 5}}),
    ],
)
def test_malformed_and_foreign_receipts_are_ignored(content: Any) -> None:
    assert parse_receipt_edu(content, "x") == []


def test_the_receipts_of_one_edu_are_limited() -> None:
    users = {f"@{number}:x": _GOOD for number in range(MAX_RECEIPTS + 1)}
    assert len(parse_receipt_edu({"!a:x": {READ: users}}, "x")) == MAX_RECEIPTS


def test_clients_get_an_event_for_each_thread_and_no_private_receipts_of_others() -> None:
    receipts = [
        Receipt("!a:x", READ, "@a:x", "$1", 1),
        Receipt("!a:x", READ, "@b:x", "$1", 2),
        Receipt("!a:x", READ_PRIVATE, "@a:x", "$2", 3),
        Receipt("!a:x", READ_PRIVATE, "@b:x", "$2", 4),
        Receipt("!a:x", READ, "@a:x", "$1", 5, "main"),
    ]
    assert receipt_events(receipts, "@a:x") == [
        {
            "type": "m.receipt",
            "content": {
                "$1": {READ: {"@a:x": {"ts": 1}, "@b:x": {"ts": 2}}},
                "$2": {READ_PRIVATE: {"@a:x": {"ts": 3}}},
            },
        },
        {"type": "m.receipt", "content": {"$1": {READ: {"@a:x": {"ts": 5, "thread_id": "main"}}}}},
    ]
