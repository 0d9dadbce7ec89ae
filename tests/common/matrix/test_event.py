"""Events: the parts of a PDU under their names, in the formats of all room versions."""

from typing import Any

import pytest
from hypothesis import given

from hs_common.matrix import hashes
from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.seal import seal
from hs_common.matrix.signing import SigningKey
from tests.common.matrix.strategies import moderate, versions_and_pdus

KEY = SigningKey("1", bytes(32))
V1, V10, V11, V12 = (ROOM_VERSIONS[number] for number in ("1", "10", "11", "12"))


def pdu(**changes: Any) -> dict[str, Any]:
    return {
        "type": "m.room.member",
        "room_id": "!room:example.org",
        "sender": "@alice:example.org",
        "state_key": "@bob:example.org",
        "content": {"membership": "invite"},
        "depth": 5,
        "origin_server_ts": 7,
        "prev_events": ["$p", "$q"],
        "auth_events": ["$a"],
        "hashes": {"sha256": "x"},
        "signatures": {},
        **changes,
    }


def test_the_parts_of_a_state_event() -> None:
    event = Event.from_pdu(pdu(), V11)
    assert event.event_id == hashes.event_id(pdu(), V11)
    assert event.pdu == pdu()
    assert event.room_version is V11
    assert (event.room_id, event.sender) == ("!room:example.org", "@alice:example.org")
    assert (event.type, event.state_key, event.is_state) == ("m.room.member", "@bob:example.org", True)
    assert event.key == ("m.room.member", "@bob:example.org")
    assert event.content == {"membership": "invite"}
    assert (event.depth, event.origin_server_ts) == (5, 7)
    assert (event.prev_event_ids, event.auth_event_ids) == (("$p", "$q"), ("$a",))
    assert event.redacts is None


def test_a_message_event_has_no_place_in_the_state() -> None:
    message = pdu(type="m.room.message")
    del message["state_key"]
    event = Event.from_pdu(message, V11, "$known")
    assert event.event_id == "$known"
    assert (event.state_key, event.is_state) == (None, False)
    with pytest.raises(AssertionError):
        assert event.key


def test_an_empty_state_key_makes_a_state_event() -> None:
    assert Event.from_pdu(pdu(state_key=""), V11).is_state


def test_references_of_old_versions_are_pairs() -> None:
    references = [["$p:example.org", {"sha256": "x"}], ["$q:example.org", {}]]
    event = Event.from_pdu(pdu(event_id="$e:example.org", prev_events=references, auth_events=references[:1]), V1)
    assert event.event_id == "$e:example.org"
    assert event.prev_event_ids == ("$p:example.org", "$q:example.org")
    assert event.auth_event_ids == ("$p:example.org",)


@pytest.mark.parametrize(
    ("room_version", "changes", "redacts"),
    [
        (V10, {"redacts": "$x", "content": {"redacts": "$y"}}, "$x"),
        (V11, {"redacts": "$x", "content": {"redacts": "$y"}}, "$y"),
        (V11, {"redacts": "$x", "content": {}}, None),
        (V11, {"content": {"redacts": 5}}, None),
        (V10, {"type": "m.room.message", "redacts": "$x"}, None),
    ],
)
def test_what_a_redaction_redacts(room_version: RoomVersion, changes: dict[str, Any], redacts: str | None) -> None:
    assert Event.from_pdu(pdu(**{"type": "m.room.redaction", **changes}), room_version).redacts == redacts


@pytest.mark.parametrize(
    ("content", "membership"), [({"membership": "join"}, "join"), ({}, None), ({"membership": 1}, None)]
)
def test_membership(content: dict[str, Any], membership: str | None) -> None:
    assert Event.from_pdu(pdu(content=content), V11).membership == membership


def test_the_create_event_of_version_12_has_its_room_id() -> None:
    create = pdu(type="m.room.create", state_key="", content={})
    del create["room_id"]
    event = Event.from_pdu(create, V12)
    assert event.room_id == "!" + event.event_id[1:]


@moderate
@given(versions_and_pdus())
def test_ids_agree_with_those_of_sealing(case: tuple[RoomVersion, dict[str, Any]]) -> None:
    room_version, composed = case
    sealed = seal(composed, room_version, "example.org", KEY)
    event = Event.from_pdu(sealed.pdu, room_version)
    assert (event.event_id, event.room_id) == (sealed.event_id, sealed.room_id)


def test_an_event_cannot_be_changed() -> None:
    event = Event.from_pdu(pdu(), V11)
    with pytest.raises(AttributeError):
        event.depth = 6  # type: ignore[misc]
