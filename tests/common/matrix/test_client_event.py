"""The client format of events: whole, as an open fragment that is closed for one reader, and as servers exchange it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.client_event import client_json, close, encode, federation_json, fragment, unsigned_data
from hs_common.matrix.redaction import redact
from tests.common.matrix.an_event import ROOM, an_event

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_TEXT, below, max_size=3),
    max_leaves=6,
)
_CONTENTS = st.dictionaries(_TEXT, _JSON, max_size=3)
_UNSIGNED = st.dictionaries(st.sampled_from(["age", "membership", "m.relations"]), _JSON)


@given(_CONTENTS, st.none() | _TEXT, _UNSIGNED, st.booleans(), st.sampled_from(["m.room.redaction", "m.room.name"]))
def test_a_closed_fragment_equals_the_dict(
    content: dict[str, Any], state_key: str | None, unsigned: dict[str, Any], with_room_id: bool, event_type: str
) -> None:
    event = an_event(event_type, {**content, "redacts": "$target"}, state_key=state_key)
    closed = close(fragment(event), unsigned, event.room_id if with_room_id else None)
    assert json.loads(closed) == client_json(event, unsigned, with_room_id=with_room_id)


def test_a_message_for_clients() -> None:
    event = an_event(content={"body": "hi"}, event_id="$e", unsigned={"age": 7}, origin="example.org")
    expected = {
        "content": {"body": "hi"},
        "event_id": "$e",
        "origin_server_ts": 1000,
        "sender": "@alice:example.org",
        "type": "m.room.message",
    }
    assert client_json(event, with_room_id=False) == expected
    assert client_json(event, {"age": 3}) == {**expected, "room_id": ROOM, "unsigned": {"age": 3}}
    assert close(fragment(event)).endswith(b'"}')


def test_a_state_event_has_its_state_key_even_if_empty() -> None:
    assert client_json(an_event("m.room.name", state_key=""))["state_key"] == ""


@pytest.mark.parametrize(
    ("version", "content", "top_level"),
    [("10", {"reason": "spam"}, {"redacts": "$t"}), ("11", {"reason": "spam", "redacts": "$t"}, {})],
)
def test_redacts_is_in_both_places_for_clients(
    version: str, content: dict[str, Any], top_level: dict[str, Any]
) -> None:
    event = an_event("m.room.redaction", content, version=version, **top_level)
    formatted = client_json(event)
    assert formatted["redacts"] == "$t"
    assert formatted["content"] == {"reason": "spam", "redacts": "$t"}
    assert event.content == content


def test_a_redacted_redaction_of_an_old_room_no_longer_says_what_it_redacted() -> None:
    event = an_event("m.room.redaction", {"reason": "spam"}, version="10", redacts="$t")
    redacted = type(event).from_pdu(redact(event.pdu, event.room_version), event.room_version, event.event_id)
    formatted = client_json(redacted)
    assert formatted["content"] == {}
    assert "redacts" not in formatted


def test_the_federation_format_is_the_pdu() -> None:
    event = an_event(content={"body": "hi"}, unsigned={"age": 1, "foreign": True})
    formatted = federation_json(event, {"membership": "join"})
    assert formatted == {**event.pdu, "unsigned": {"membership": "join"}}
    assert "unsigned" not in federation_json(event)


def test_unsigned_has_what_is_given_and_no_more() -> None:
    assert unsigned_data() == {}
    assert unsigned_data(age_ms=0, relations={}) == {"age": 0}
    given_all = unsigned_data(
        age_ms=-5,
        membership="join",
        transaction_id="t",
        replaces_state="$p",
        prev_content={},
        redacted_because={"type": "m.room.redaction"},
        relations={"m.reference": {"chunk": []}},
        invite_room_state=[],
        knock_room_state=[],
    )
    assert given_all == {
        "age": -5,
        "membership": "join",
        "transaction_id": "t",
        "replaces_state": "$p",
        "prev_content": {},
        "redacted_because": {"type": "m.room.redaction"},
        "m.relations": {"m.reference": {"chunk": []}},
        "invite_room_state": [],
        "knock_room_state": [],
    }


@pytest.mark.parametrize("value", [2**70, -(2**70), "\ud800", 1.5, "é"])
def test_values_of_old_rooms_are_encoded_too(value: Any) -> None:
    event = an_event(content={"odd": value}, version="1")
    assert json.loads(close(fragment(event)))["content"]["odd"] == value
    assert json.loads(encode({"odd": value})) == {"odd": value}
