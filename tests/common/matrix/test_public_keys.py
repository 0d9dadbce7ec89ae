"""Shapes of uploaded keys, and who has to have signed what."""

from typing import Any

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.public_keys import (
    check_signature,
    ed25519_keys,
    parse_cross_signing_key,
    parse_device_keys,
    parse_one_time_keys,
    signed_part,
    verify_key,
)
from hs_common.matrix.signing import SigningKey, sign

ALICE = "@alice:test"
KEY = SigningKey("D", b"\x07" * 32)
PUBLIC = KEY.verify_key.to_base64()


def device(**changes: Any) -> dict[str, Any]:
    return {
        "user_id": ALICE,
        "device_id": "D",
        "algorithms": ["x"],
        "keys": {"ed25519:D": PUBLIC},
        "signatures": {ALICE: {"ed25519:D": "s"}},
        **changes,
    }


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(MatrixError) as refused:
        call(*arguments)
    assert refused.value.status == 400
    return refused.value.errcode


def test_device_keys_are_kept_as_they_are_signed() -> None:
    parsed = parse_device_keys(device(unsigned={"a": 1}, extra={"b": [1]}), ALICE, "D")
    assert parsed.keys == (
        b'{"algorithms":["x"],"device_id":"D","extra":{"b":[1]},"keys":{"ed25519:D":"%s"},"user_id":"@alice:test"}'
        % PUBLIC.encode()
    )
    assert parsed.signatures == b'{"@alice:test":{"ed25519:D":"s"}}'


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"user_id": "@bob:test"}, "M_INVALID_PARAM"),
        ({"device_id": "E"}, "M_INVALID_PARAM"),
        ({"device_id": 1}, "M_BAD_JSON"),
        ({"keys": []}, "M_BAD_JSON"),
        ({"algorithms": [1]}, "M_BAD_JSON"),
        ({"signatures": {ALICE: "x"}}, "M_BAD_JSON"),
        ({"number": 1.5}, "M_BAD_JSON"),
        ({"long": "x" * 17_000}, "M_INVALID_PARAM"),
    ],
)
def test_device_keys_of_another_shape_are_refused(changes: dict[str, Any], errcode: str) -> None:
    assert refusal(parse_device_keys, device(**changes), ALICE, "D") == errcode


def test_device_keys_without_a_part_are_refused() -> None:
    for name in device():
        without = {key: part for key, part in device().items() if key != name}
        assert refusal(parse_device_keys, without, ALICE, "D") == "M_MISSING_PARAM"


def test_one_time_keys_are_plain_or_signed() -> None:
    signed = {"key": "k", "signatures": {}, "fallback": True}
    plain, other = parse_one_time_keys({"curve25519:A": "k", "signed_curve25519:B+/": signed}, "one_time_keys")
    assert (plain.algorithm, plain.key_id, plain.key) == ("curve25519", "A", b'"k"')
    assert (other.algorithm, other.key_id) == ("signed_curve25519", "B+/")
    assert refusal(parse_one_time_keys, {"a:" + "b" * 255: "k"}, "one_time_keys") == "M_INVALID_PARAM"
    assert refusal(parse_one_time_keys, {"a:b": {"key": 1, "signatures": {}}}, "one_time_keys") == "M_BAD_JSON"
    assert refusal(parse_one_time_keys, {"a:b": {**signed, "x": 1.5}}, "one_time_keys") == "M_BAD_JSON"


def cross_signing(**changes: Any) -> dict[str, Any]:
    return {"user_id": ALICE, "usage": ["master"], "keys": {f"ed25519:{PUBLIC}": PUBLIC}, **changes}


def test_a_cross_signing_key_is_named_by_itself() -> None:
    parsed = parse_cross_signing_key(cross_signing(), "master", ALICE)
    assert (parsed.usage, parsed.public_key, parsed.signed.signatures) == ("master", PUBLIC, b"{}")
    for changes in ({"keys": {"ed25519:A": PUBLIC}}, {"keys": {"ed25519:AA": "AA"}}, {"usage": "master"}):
        assert refusal(parse_cross_signing_key, cross_signing(**changes), "master", ALICE) == "M_INVALID_PARAM"
    assert refusal(parse_cross_signing_key, cross_signing(), "self_signing", ALICE) == "M_INVALID_PARAM"
    assert refusal(parse_cross_signing_key, cross_signing(), "master", "@bob:test") == "M_INVALID_PARAM"
    assert refusal(parse_cross_signing_key, cross_signing(keys=1), "master", ALICE) == "M_BAD_JSON"
    assert refusal(parse_cross_signing_key, None, "master", ALICE) == "M_BAD_JSON"


def test_signatures_hold_for_the_signed_part_alone() -> None:
    value = sign(cross_signing(), ALICE, KEY)
    key = verify_key(KEY.key_id, PUBLIC)
    check_signature({**value, "unsigned": {"a": 1}}, ALICE, key)
    assert refusal(check_signature, {**value, "usage": []}, ALICE, key) == "M_INVALID_SIGNATURE"
    assert refusal(check_signature, cross_signing(), ALICE, key) == "M_INVALID_SIGNATURE"
    assert signed_part({**value, "unsigned": {}}) == cross_signing()
    assert refusal(verify_key, "ed25519:x", "x") == "M_INVALID_PARAM"


def test_signing_keys_of_a_device_are_those_that_can_be_used() -> None:
    keys = {"ed25519:D": PUBLIC, "ed25519:E": "short", "curve25519:D": PUBLIC, "ed25519:F": 1}
    assert [key.key_id for key in ed25519_keys(keys)] == ["ed25519:D"]


@pytest.mark.parametrize(
    "value", [{"curve25519:A": 5}, {"no key id": "key"}, {"signed_curve25519:A": {"key": "k", "signatures": 1}}]
)
def test_one_time_keys_of_another_shape_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(MatrixError):
        parse_one_time_keys(value, "one_time_keys")


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": ["self_signing"]},
        {"keys": {}},
        {"keys": {"ed25519:a": "a", "ed25519:b": "b"}},
        {"keys": {"ed25519:a": "b"}},
        {"user_id": "@other:example.org"},
    ],
)
def test_cross_signing_keys_of_another_shape_are_refused(changes: dict[str, Any]) -> None:
    value = {"user_id": "@alice:example.org", "usage": ["master"], "keys": {"ed25519:a": "a"}} | changes
    with pytest.raises(MatrixError):
        parse_cross_signing_key(value, "master", "@alice:example.org")
