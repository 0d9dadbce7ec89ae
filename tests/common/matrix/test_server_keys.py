"""The keys that servers publish."""

from typing import Any

import pytest
from hypothesis import given

from hs_common.matrix.server_keys import (
    LONGEST_BELIEF_MS,
    BadServerKeys,
    OldKey,
    own_server_keys,
    parse_old_key,
    parse_server_keys,
    wanted_keys,
)
from hs_common.matrix.signing import SigningKey, sign
from tests.common.matrix.strategies import json_objects

NOW = 1_000_000_000_000
KEY = SigningKey("new", bytes(32))
OLD = OldKey(SigningKey("old", b"1" * 32).verify_key, NOW - 1000)


def published(valid_until_ms: int = NOW + 1000) -> dict[str, Any]:
    return own_server_keys("a.example", KEY, [OLD], valid_until_ms)


def test_what_we_publish_can_be_read() -> None:
    new, old = parse_server_keys(published(), "a.example", NOW)
    assert (new.key.key_id, new.until_ms, new.is_old) == ("ed25519:new", NOW + 1000, False)
    assert (old.key.key_id, old.until_ms, old.is_old) == ("ed25519:old", NOW - 1000, True)
    assert new.is_valid_at(NOW + 1000)
    assert not new.is_valid_at(NOW + 1001)
    assert old.is_valid_at(NOW - 1001)
    assert not old.is_valid_at(NOW - 1000)


def test_nobody_is_believed_for_more_than_a_week() -> None:
    new, _ = parse_server_keys(published(NOW * 2), "a.example", NOW)
    assert new.until_ms == NOW + LONGEST_BELIEF_MS


@pytest.mark.parametrize(
    "change",
    [
        {"server_name": "b.example"},
        {"valid_until_ts": None},
        {"valid_until_ts": -1},
        {"valid_until_ts": True},
        {"verify_keys": {}},
        {"verify_keys": {"ed25519:new": {"key": "short"}}},
        {"verify_keys": {"ed25519:other": {"key": OLD.key.to_base64()}}},
        {"signatures": {}},
        {"signatures": {"a.example": {"ed25519:new": "AAAA"}}},
        {"extra": 1.5},
    ],
)
def test_what_is_not_signed_by_its_own_key_is_not_believed(change: dict[str, Any]) -> None:
    answer = published() | change
    if "signatures" not in change and "extra" not in change:
        answer = sign({key: value for key, value in answer.items() if key != "signatures"}, "a.example", KEY)
    with pytest.raises(BadServerKeys):
        parse_server_keys(answer, "a.example", NOW)


@given(json_objects)
def test_no_answer_breaks_the_reader(answer: dict[str, Any]) -> None:
    with pytest.raises(BadServerKeys):
        parse_server_keys(answer, "a.example", NOW)


def test_old_keys_of_the_config() -> None:
    line = f"ed25519:old {OLD.key.to_base64()} {OLD.expired_ms}"
    parsed = parse_old_key(line)
    assert (parsed.key.public_bytes, parsed.expired_ms) == (OLD.key.public_bytes, OLD.expired_ms)
    with pytest.raises(ValueError, match="old key"):
        parse_old_key("ed25519:old abc")


def test_what_a_notary_is_asked_for() -> None:
    body = {
        "server_keys": {
            "a.example": {"ed25519:1": {"minimum_valid_until_ts": 5}, "ed25519:2": {}, "nonsense": {}},
            "b.example": {},
            "a b": {},
            "c.example": 1,
        }
    }
    assert wanted_keys(body) == {"a.example": {"ed25519:1": 5, "ed25519:2": None}, "b.example": {}}
    assert wanted_keys({}) == wanted_keys({"server_keys": []}) == {}


def test_keys_and_expiries_that_cannot_be_read_are_left_out() -> None:
    answer = {key: value for key, value in published().items() if key != "signatures"}
    answer["verify_keys"] |= {"ed25519:odd": {"key": 5}, "no id": {"key": "a"}}
    answer["old_verify_keys"] |= {"ed25519:never": {"key": OLD.key.to_base64(), "expired_ts": "never"}}
    found = parse_server_keys(sign(answer, "a.example", KEY), "a.example", NOW)
    assert [one.key.key_id for one in found] == [KEY.key_id, OLD.key.key_id]
