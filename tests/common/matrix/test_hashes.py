"""Hashes and ids of events, and sealing, which makes them all at once."""

import copy
import hashlib
from typing import Any

import canonicaljson
import pytest
from hypothesis import given

from hs_common.matrix import base64, canonical_json, hashes
from hs_common.matrix.event_format import check_event_format
from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.seal import seal
from hs_common.matrix.signing import SigningKey, verify_event
from tests.common.matrix.strategies import moderate, versions_and_pdus

KEY = SigningKey("1", bytes(range(32)))
KEYS = {KEY.key_id: KEY.verify_key}
V2, V3, V5, V12 = (ROOM_VERSIONS[number] for number in ("2", "3", "5", "12"))

CREATE = {
    "type": "m.room.create",
    "state_key": "",
    "sender": "@alice:example.org",
    "content": {"room_version": "12"},
    "depth": 1,
    "origin_server_ts": 1,
    "prev_events": [],
    "auth_events": [],
}
MESSAGE = {
    "type": "m.room.message",
    "room_id": "!room:example.org",
    "sender": "@alice:example.org",
    "content": {"body": "hello"},
    "depth": 2,
    "origin_server_ts": 2,
    "prev_events": ["$a"],
    "auth_events": ["$b"],
}


@moderate
@given(versions_and_pdus())
def test_a_sealed_event_is_complete(case: tuple[RoomVersion, dict[str, Any]]) -> None:
    room_version, composed = case
    before = copy.deepcopy(composed)
    sealed = seal(composed, room_version, "example.org", KEY)
    assert composed == before
    assert {key: sealed.pdu[key] for key in composed} == composed
    assert sealed.pdu.keys() - composed.keys() == {"hashes", "signatures"}
    check_event_format(sealed.pdu, room_version)
    assert hashes.content_hash_matches(sealed.pdu, room_version)
    verify_event(sealed.pdu, room_version, "example.org", KEYS)
    assert sealed.event_id == hashes.event_id(sealed.pdu, room_version)
    assert sealed.room_id == hashes.room_id(sealed.pdu, room_version, sealed.event_id)
    assert sealed.encoded == canonicaljson.encode_canonical_json(sealed.pdu)


@moderate
@given(versions_and_pdus())
def test_id_and_signature_outlive_a_redaction_unlike_the_content_hash(
    case: tuple[RoomVersion, dict[str, Any]],
) -> None:
    room_version, composed = case
    sealed = seal(composed, room_version, "example.org", KEY)
    redacted = redact(sealed.pdu, room_version)
    verify_event(redacted, room_version, "example.org", KEYS)
    assert hashes.event_id(redacted, room_version) == sealed.event_id
    assert hashes.reference_hash(redacted, room_version) == hashes.reference_hash(sealed.pdu, room_version)
    assert hashes.content_hash_matches(redacted, room_version) == (redacted == sealed.pdu)


@moderate
@given(versions_and_pdus())
def test_the_reference_hash_follows_the_steps_of_the_specification(
    case: tuple[RoomVersion, dict[str, Any]],
) -> None:
    room_version, composed = case
    pdu = {**seal(composed, room_version, "example.org", KEY).pdu, "unsigned": {"age": 5}}
    # 1. redact, 2. remove signatures and unsigned, 3. encode, 4. hash.
    redacted = {key: item for key, item in redact(pdu, room_version).items() if key not in ("signatures", "unsigned")}
    expected = hashlib.sha256(canonicaljson.encode_canonical_json(redacted)).digest()
    assert hashes.reference_hash(pdu, room_version) == expected


@pytest.mark.parametrize("number", range(3, 13))
def test_the_event_id_is_the_reference_hash(number: int) -> None:
    room_version = ROOM_VERSIONS[str(number)]
    # Of these events some have a hash in which the two alphabets differ.
    for depth in range(20):
        pdu = seal({**MESSAGE, "depth": depth}, room_version, "example.org", KEY).pdu
        digest = hashes.reference_hash(pdu, room_version)
        encode = base64.encode if number == 3 else base64.encode_url_safe
        assert hashes.event_id(pdu, room_version) == "$" + encode(digest)


def test_the_event_id_of_old_versions_is_their_own() -> None:
    assert hashes.event_id({**MESSAGE, "event_id": "$x:example.org"}, V2) == "$x:example.org"
    with pytest.raises(AssertionError):
        hashes.event_id_of_bytes(b"{}", V2)


def test_the_room_id_of_version_12_is_the_create_event() -> None:
    sealed = seal(CREATE, V12, "example.org", KEY)
    assert sealed.room_id == "!" + sealed.event_id[1:]
    assert "room_id" not in sealed.pdu
    assert seal({**CREATE, "room_id": "!x:example.org"}, V3, "example.org", KEY).room_id == "!x:example.org"
    # Not allowed, but it must be known which room it was sent to.
    assert hashes.room_id({**CREATE, "room_id": "!x"}, V12, "$y") == "!x"


@pytest.mark.parametrize("claimed", [{}, {"sha256": 1}, {"sha256": "*"}, {"sha256": "AAAA"}, {"md5": "AAAA"}])
def test_a_wrong_content_hash_is_noticed(claimed: dict[str, Any]) -> None:
    assert not hashes.content_hash_matches({**MESSAGE, "hashes": claimed}, V12)


def test_a_padded_content_hash_is_accepted() -> None:
    pdu = seal(MESSAGE, V12, "example.org", KEY).pdu
    assert hashes.content_hash_matches({**pdu, "hashes": {"sha256": pdu["hashes"]["sha256"] + "="}}, V12)


def test_versions_without_canonical_json_hash_floats_and_large_integers() -> None:
    content = {"users": {"@a:b": 50.57, "@c:d": 1e16}, "big": 2**60}
    pdu = {**MESSAGE, "type": "m.room.power_levels", "content": content}
    sealed = seal(pdu, V5, "example.org", KEY)
    assert b'"users":{"@a:b":50.57,"@c:d":1e+16}' in sealed.encoded
    assert canonical_json.decode(sealed.encoded, 10_000) == sealed.pdu
    check_event_format(sealed.pdu, V5)
