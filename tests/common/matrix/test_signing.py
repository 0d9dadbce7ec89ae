"""Signatures: the specification's vectors, agreement with the reference library, and that tampering shows."""

import copy
import random
from typing import Any

import nacl.signing
import pytest
import signedjson.key
import signedjson.sign
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix import base64, hashes
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.seal import seal
from hs_common.matrix.signing import (
    SignatureError,
    SigningKey,
    VerifyKey,
    sign,
    sign_event,
    signatures_of,
    verify,
    verify_bytes,
    verify_event,
)
from tests.common.matrix.strategies import json_objects, json_values, moderate, versions_and_pdus

# Spec: appendices, #cryptographic-test-vectors.
SEED = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"
KEY = SigningKey.from_text(f"ed25519 1 {SEED}")
OTHER_KEY = SigningKey("2", bytes(32))
KEYS = {KEY.key_id: KEY.verify_key}


@pytest.mark.parametrize(
    ("value", "signature"),
    [
        ({}, "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"),
        (
            {"one": 1, "two": "Two"},
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
    ],
)
def test_json_signing_vectors(value: dict[str, Any], signature: str) -> None:
    signed = sign(value, "domain", KEY)
    assert signed == {**value, "signatures": {"domain": {"ed25519:1": signature}}}
    verify(signed, "domain", KEYS)


MINIMAL_EVENT = {
    "room_id": "!x:domain",
    "sender": "@a:domain",
    "origin": "domain",
    "origin_server_ts": 1000000,
    "signatures": {},
    "hashes": {},
    "type": "X",
    "content": {},
    "prev_events": [],
    "auth_events": [],
    "depth": 3,
    "unsigned": {"age_ts": 1000000},
}
REDACTABLE_EVENT = {
    "content": {"body": "Here is the message content"},
    "event_id": "$0:domain",
    "origin": "domain",
    "origin_server_ts": 1000000,
    "type": "m.room.message",
    "room_id": "!r:domain",
    "sender": "@u:domain",
    "signatures": {},
    "unsigned": {"age_ts": 1000000},
}


@pytest.mark.parametrize(
    ("event", "content_hash", "signature"),
    [
        (
            MINIMAL_EVENT,
            "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
            "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
        ),
        (
            REDACTABLE_EVENT,
            "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
        ),
    ],
)
def test_event_signing_vectors(event: dict[str, Any], content_hash: str, signature: str) -> None:
    room_version = ROOM_VERSIONS["1"]
    hashed = {**event, "hashes": {"sha256": base64.encode(hashes.content_hash(event, room_version))}}
    assert hashed["hashes"] == {"sha256": content_hash}
    signed = sign_event(hashed, room_version, "domain", KEY)
    assert signed == {**hashed, "signatures": {"domain": {"ed25519:1": signature}}}
    verify_event(signed, room_version, "domain", KEYS)


def test_sealing_gives_the_signing_vector() -> None:
    composed = {key: value for key, value in REDACTABLE_EVENT.items() if key not in ("signatures", "unsigned")}
    sealed = seal(composed, ROOM_VERSIONS["1"], "domain", KEY)
    assert sealed.pdu["signatures"]["domain"]["ed25519:1"].startswith("Wm+VzmOUOz08Ds+0NTWb1d4C")
    assert (sealed.event_id, sealed.room_id) == ("$0:domain", "!r:domain")


@moderate
@given(json_objects)
def test_signatures_equal_those_of_the_reference_library(value: dict[str, Any]) -> None:
    value.pop("signatures", None)
    reference_key = signedjson.key.decode_signing_key_base64("ed25519", "1", SEED)
    expected = signedjson.sign.sign_json(copy.deepcopy(value), "domain", reference_key)
    assert sign(value, "domain", KEY) == expected
    public_key = signedjson.key.decode_verify_key_bytes("ed25519:1", KEY.verify_key.public_bytes)
    signedjson.sign.verify_signed_json(sign(value, "domain", KEY), "domain", public_key)


@moderate
@given(json_objects, st.text(alphabet="abc", min_size=1), json_values)
def test_a_changed_object_does_not_verify(value: dict[str, Any], key: str, replacement: Any) -> None:
    signed = sign({**value, key: [replacement]}, "domain", KEY)
    verify(signed, "domain", KEYS)
    for changed in ({**signed, key: replacement}, {name: item for name, item in signed.items() if name != key}):
        with pytest.raises(SignatureError, match="wrong"):
            verify(changed, "domain", KEYS)


@moderate
@given(json_objects)
def test_unsigned_and_other_signatures_may_change(value: dict[str, Any]) -> None:
    value.pop("signatures", None)
    signed = sign(sign({**value, "unsigned": {"age": 1}}, "domain", KEY), "elsewhere", OTHER_KEY)
    assert signed["unsigned"] == {"age": 1}
    verify({**signed, "unsigned": {"age": 2.5}}, "domain", KEYS)
    verify(signed, "elsewhere", {OTHER_KEY.key_id: OTHER_KEY.verify_key})


def test_two_keys_of_one_server_stand_side_by_side() -> None:
    original = sign({"a": 1}, "domain", KEY)
    signed = sign(original, "domain", OTHER_KEY)
    assert signed["signatures"]["domain"].keys() == {"ed25519:1", "ed25519:2"}
    assert original["signatures"]["domain"].keys() == {"ed25519:1"}
    verify(signed, "domain", {OTHER_KEY.key_id: OTHER_KEY.verify_key})


@moderate
@given(versions_and_pdus(), st.sampled_from(["type", "sender", "depth", "origin_server_ts", "hashes", "prev_events"]))
def test_a_changed_event_does_not_verify(case: tuple[RoomVersion, dict[str, Any]], key: str) -> None:
    room_version, composed = case
    pdu = seal(composed, room_version, "example.org", KEY).pdu
    verify_event(pdu, room_version, "example.org", KEYS)
    replacement = {"hashes": {"sha256": "other"}, "prev_events": ["$other"], "depth": pdu["depth"] ^ 1}
    with pytest.raises(SignatureError):
        verify_event({**pdu, key: replacement.get(key, "other")}, room_version, "example.org", KEYS)


def signed_object() -> dict[str, Any]:
    return sign({"a": 1}, "domain", KEY)


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        [],
        {},
        {"domain": None},
        {"domain": {}},
        {"elsewhere": {"ed25519:1": "x"}},
        {"domain": {"ed25519:other": "x"}},
        {"domain": {"rsa:1": "x"}},
    ],
)
def test_without_a_signature_by_a_known_key_the_check_fails(signatures: object) -> None:
    with pytest.raises(SignatureError, match="no signature of domain"):
        verify({**signed_object(), "signatures": signatures}, "domain", {**KEYS, "rsa:1": KEY.verify_key})


@pytest.mark.parametrize("signature", [None, 1, "", "*", "A", "AAAA", KEY.sign_bytes(b'{"a":2}')])
def test_a_wrong_signature_fails(signature: object) -> None:
    with pytest.raises(SignatureError, match="by ed25519:1 is wrong"):
        verify({"a": 1, "signatures": {"domain": {"ed25519:1": signature}}}, "domain", KEYS)


def test_a_signature_with_data_behind_it_is_not_one_of_the_rest() -> None:
    data = b"abc"
    signature = base64.encode(base64.decode(KEY.sign_bytes(data)) + b"a")
    assert KEY.verify_key.verify_bytes(data, KEY.sign_bytes(data))
    assert not KEY.verify_key.verify_bytes(b"bc", signature)


def test_one_wrong_signature_by_a_known_key_spoils_the_right_ones() -> None:
    both = {"domain": {"ed25519:1": KEY.sign_bytes(b"x"), "ed25519:2": OTHER_KEY.sign_bytes(b"y")}}
    verify_bytes(b"x", both, "domain", KEYS)
    with pytest.raises(SignatureError, match="by ed25519:2 is wrong"):
        verify_bytes(b"x", both, "domain", {**KEYS, "ed25519:2": OTHER_KEY.verify_key})


def test_unknown_algorithms_are_left_out() -> None:
    assert signatures_of({"domain": {"rsa:1": "x", "ed25519:1": "y"}}, "domain") == {"ed25519:1": "y"}


def test_what_is_not_canonical_json_cannot_have_been_signed() -> None:
    with pytest.raises(SignatureError, match="not canonical JSON"):
        verify({**signed_object(), "a": 1.5}, "domain", KEYS)


@given(st.binary(min_size=32, max_size=32))
def test_keys_survive_their_text_form(seed: bytes) -> None:
    key = SigningKey("a_B1", seed)
    again = SigningKey.from_text(f"  {key.to_text()}\n")
    assert again.to_text() == key.to_text()
    assert again.key_id == "ed25519:a_B1"
    assert again.verify_key.public_bytes == bytes(nacl.signing.SigningKey(seed).verify_key)
    published = VerifyKey.from_base64(key.key_id, key.verify_key.to_base64())
    assert published.verify_bytes(b"data", again.sign_bytes(b"data"))
    assert signedjson.key.read_signing_keys([key.to_text()])[0].encode() == seed


def test_a_new_key_is_made_of_the_randomness_given() -> None:
    keys = {SigningKey.generate("1", random.Random(number).randbytes).to_text() for number in (1, 1, 2)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    "line", ["", f"ed25519 {SEED}", f"rsa 1 {SEED}", f"ed25519 a:b {SEED}", "ed25519 1 AAAA", "ed25519 1 *"]
)
def test_a_bad_key_file_is_refused_without_repeating_the_secret(line: str) -> None:
    with pytest.raises(ValueError, match=r"signing key|base64") as caught:
        SigningKey.from_text(line)
    assert SEED not in str(caught.value)


def test_a_signing_key_does_not_show_its_secret() -> None:
    assert repr(KEY) == "SigningKey(ed25519:1)"


@pytest.mark.parametrize(("key_id", "text"), [("rsa:1", SEED), ("ed25519:1", "AAAA"), ("ed25519:1", "*")])
def test_a_bad_public_key_is_refused(key_id: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"ed25519 key|base64"):
        VerifyKey.from_base64(key_id, text)
