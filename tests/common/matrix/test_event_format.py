"""The format check of PDUs: what each room version accepts, and each way to be refused."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix import canonical_json
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.event import Event
from hs_common.matrix.event_format import check_event_format, check_event_size
from hs_common.matrix.identifiers import is_event_id, is_room_id
from hs_common.matrix.limits import MAX_EVENT_BYTES
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from tests.common.matrix.strategies import json_values, room_versions

ALL = list(ROOM_VERSIONS)
BEFORE_CANONICAL_JSON = ALL[:5]
WITH_CANONICAL_JSON = ALL[5:]
HASH = "a" * 43
TOO_LONG = "é" * 128


def pdu_of(room_version: RoomVersion, **changes: Any) -> dict[str, Any]:
    """A correct PDU of a room version, but for the changes."""
    reference: Any = "$" + HASH
    pdu: dict[str, Any] = {
        "type": "m.room.message",
        "sender": "@alice:example.org",
        "room_id": "!" + HASH if room_version.room_id_is_create_hash else "!room:example.org",
        "content": {"body": "hello"},
        "origin_server_ts": 1700000000000,
        "depth": 12,
        "hashes": {"sha256": "x"},
        "signatures": {"example.org": {"ed25519:1": "x"}},
    }
    if not room_version.event_id_is_hash:
        pdu["event_id"] = "$e:example.org"
        reference = ["$p:example.org", {"sha256": "x"}]
    return {**pdu, "prev_events": [reference], "auth_events": [reference], **changes}


def refusal(pdu: object, room_version: RoomVersion) -> tuple[int, str]:
    with pytest.raises(MatrixError) as caught:
        check_event_format(pdu, room_version)
    return caught.value.status, caught.value.errcode


BAD_JSON = (400, "M_BAD_JSON")


@pytest.mark.parametrize("number", ALL)
def test_correct_events_pass(number: str) -> None:
    version = ROOM_VERSIONS[number]
    check_event_format(pdu_of(version), version)
    check_event_format(pdu_of(version, state_key="", unsigned={"age": 1.5}), version)
    check_event_format(pdu_of(version, prev_events=[], auth_events=[], signatures={}), version)
    check_event_format(pdu_of(version, origin="example.org", prev_state=[], **{"org.example": None}), version)
    check_event_format(pdu_of(version, content={"body": "a\0b"}), version)
    check_event_format(pdu_of(version, sender="@A b:example.org"), version)


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize(
    "key",
    [
        "type",
        "sender",
        "content",
        "origin_server_ts",
        "depth",
        "hashes",
        "signatures",
        "prev_events",
        "auth_events",
        "room_id",
    ],
)
def test_required_keys(key: str, number: str) -> None:
    version = ROOM_VERSIONS[number]
    pdu = pdu_of(version)
    del pdu[key]
    assert refusal(pdu, version) == BAD_JSON


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", 1),
        ("type", None),
        ("type", TOO_LONG),
        ("type", "a\0"),
        ("sender", "alice"),
        ("sender", None),
        ("sender", f"@{TOO_LONG}:example.org"),
        ("state_key", None),
        ("state_key", 1),
        ("state_key", TOO_LONG),
        ("state_key", "\0"),
        ("room_id", "room"),
        ("room_id", None),
        ("content", []),
        ("content", None),
        ("origin_server_ts", "1"),
        ("origin_server_ts", True),
        ("origin_server_ts", 1.0),
        ("origin_server_ts", 2**63),
        ("origin_server_ts", -(2**63)),
        ("depth", "1"),
        ("depth", False),
        ("depth", 1.0),
        ("depth", 2**63),
        ("depth", -(2**63)),
        ("hashes", []),
        ("hashes", {}),
        ("hashes", {"sha256": 1}),
        ("signatures", []),
        ("signatures", {"example.org": "x"}),
        ("signatures", {"example.org": {"ed25519:1": 1}}),
        ("prev_events", {}),
        ("prev_events", [1]),
        ("prev_events", [["$a", {}, 1]]),
        ("prev_events", [["$a", "hash"]]),
        ("prev_events", ["not an id"]),
        ("auth_events", None),
        ("auth_events", [[None, {}]]),
        ("unsigned", []),
        ("unsigned", None),
    ],
)
def test_wrong_values(key: str, value: object, number: str) -> None:
    version = ROOM_VERSIONS[number]
    assert refusal(pdu_of(version, **{key: value}), version) == BAD_JSON


@pytest.mark.parametrize("pdu", [None, [], "event", 1])
def test_an_event_is_an_object(pdu: object) -> None:
    assert refusal(pdu, ROOM_VERSIONS["12"]) == BAD_JSON


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize(("key", "maximum"), [("prev_events", 20), ("auth_events", 10)])
def test_references_are_limited(key: str, maximum: int, number: str) -> None:
    version = ROOM_VERSIONS[number]
    reference = pdu_of(version)[key][0]
    check_event_format(pdu_of(version, **{key: [reference] * maximum}), version)
    assert refusal(pdu_of(version, **{key: [reference] * (maximum + 1)}), version) == BAD_JSON


def test_references_have_the_form_of_their_version() -> None:
    old, new = ROOM_VERSIONS["2"], ROOM_VERSIONS["3"]
    assert refusal(pdu_of(old, prev_events=pdu_of(new)["prev_events"]), old) == BAD_JSON
    assert refusal(pdu_of(new, prev_events=pdu_of(old)["prev_events"]), new) == BAD_JSON


@pytest.mark.parametrize("number", ["1", "2"])
@pytest.mark.parametrize("event_id", ["$e", "e:example.org", None, f"${TOO_LONG}:example.org"])
def test_old_versions_have_an_event_id_with_a_domain(event_id: object, number: str) -> None:
    version = ROOM_VERSIONS[number]
    assert refusal(pdu_of(version, event_id=event_id), version) == BAD_JSON


def test_the_room_id_has_the_form_of_its_version() -> None:
    v11, v12 = ROOM_VERSIONS["11"], ROOM_VERSIONS["12"]
    assert refusal(pdu_of(v11, room_id="!" + HASH), v11) == BAD_JSON
    assert refusal(pdu_of(v12, room_id="!room:example.org"), v12) == BAD_JSON


def test_a_create_event_of_version_12_has_no_room_id() -> None:
    v11, v12 = ROOM_VERSIONS["11"], ROOM_VERSIONS["12"]
    for version in (v11, v12):
        create = pdu_of(version, type="m.room.create", state_key="", prev_events=[], auth_events=[])
        # One that has a room id is refused by the authorisation rules, not by its format.
        check_event_format(create, version)
        del create["room_id"]
        if version is v12:
            check_event_format(create, version)
        else:
            assert refusal(create, version) == BAD_JSON
    assert refusal(pdu_of(v12, type="m.room.create", room_id=5), v12) == BAD_JSON


@pytest.mark.parametrize("number", ALL)
def test_redacts_at_the_top_level_is_a_string_where_it_has_a_meaning(number: str) -> None:
    version = ROOM_VERSIONS[number]
    check_event_format(pdu_of(version, redacts="$x"), version)
    if version.redacts_in_content:
        check_event_format(pdu_of(version, redacts=5), version)
    else:
        assert refusal(pdu_of(version, redacts=5), version) == BAD_JSON


@pytest.mark.parametrize("number", BEFORE_CANONICAL_JSON)
def test_old_versions_take_floats_and_large_integers(number: str) -> None:
    version = ROOM_VERSIONS[number]
    check_event_format(pdu_of(version, depth=2**63 - 1, content={"a": 1.5, "b": 2**60}), version)
    assert refusal(pdu_of(version, content={"a": float("inf")}), version) == BAD_JSON
    assert refusal(pdu_of(version, content={"a": "\ud800"}), version) == BAD_JSON


@pytest.mark.parametrize("number", WITH_CANONICAL_JSON)
def test_later_versions_enforce_canonical_json(number: str) -> None:
    version = ROOM_VERSIONS[number]
    check_event_format(pdu_of(version, depth=2**53 - 1, content={"b": -(2**53) + 1}), version)
    for changes in ({"depth": 2**53}, {"depth": -(2**53)}, {"content": {"a": 1.0}}, {"content": {"b": 2**53}}):
        assert refusal(pdu_of(version, **changes), version) == BAD_JSON
    assert refusal(pdu_of(version, **{"org.example": 1.5}), version) == BAD_JSON


@pytest.mark.parametrize("number", ALL)
def test_the_size_of_an_event_is_limited_to_the_byte(number: str) -> None:
    version = ROOM_VERSIONS[number]
    room = MAX_EVENT_BYTES - len(canonical_json.encode(pdu_of(version, content={"body": ""})))
    largest = pdu_of(version, content={"body": "é" * (room // 2) + "a" * (room % 2)})
    assert len(canonical_json.encode(largest)) == MAX_EVENT_BYTES == 65536
    check_event_format(largest, version)
    check_event_format({**largest, "unsigned": {"more": "x" * 100}}, version)
    largest["content"]["body"] += "a"
    assert refusal(largest, version) == (413, "M_TOO_LARGE")


def test_the_size_of_encoded_events_is_limited() -> None:
    check_event_size(b"x" * MAX_EVENT_BYTES)
    with pytest.raises(MatrixError, match="M_TOO_LARGE"):
        check_event_size(b"x" * (MAX_EVENT_BYTES + 1))


@given(room_versions, st.sampled_from([*pdu_of(ROOM_VERSIONS["1"]), "state_key", "redacts", "unsigned"]), json_values)
def test_any_json_in_any_place_is_refused_or_makes_an_event(version: RoomVersion, key: str, value: Any) -> None:
    pdu = pdu_of(version, **{key: value})
    with suppress(MatrixError):
        check_event_format(pdu, version)
        event = Event.from_pdu(pdu, version)
        assert is_event_id(event.event_id)
        assert is_room_id(event.room_id)
