"""A room's policy server: as its state names it, and whether it has signed an event."""

from typing import Any

import pytest

from hs_common.matrix.policy_server import KEY_ID, policy_of
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import SigningKey, sign_event
from tests.common.matrix.an_event import an_event

VERSION = ROOM_VERSIONS["11"]
KEY = SigningKey("policy_server", bytes(32))
CONTENT = {"via": "policy.example", "public_keys": {"ed25519": KEY.verify_key.to_base64()}}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"via": "policy.example"},
        {"via": "policy.example", "public_keys": []},
        {"via": "policy.example", "public_keys": {"ed25519": 1}},
        {"public_keys": {"ed25519": "key"}},
    ],
)
def test_content_that_names_no_server_and_key_names_none(content: dict[str, Any]) -> None:
    assert policy_of(content) is None


def test_only_its_own_key_signs_for_it() -> None:
    policy = policy_of(CONTENT)
    assert policy is not None
    assert KEY.key_id == KEY_ID
    unsigned = an_event(content={"body": "hello"}).pdu
    signed = sign_event(unsigned, VERSION, "policy.example", KEY)
    assert policy.has_signed(signed, VERSION)
    assert not policy.has_signed(unsigned, VERSION)
    assert not policy.has_signed({**signed, "depth": 99}, VERSION)
    assert not policy.has_signed(sign_event(unsigned, VERSION, "other.example", KEY), VERSION)
    other = SigningKey("policy_server", b"1" * 32)
    assert not policy.has_signed(sign_event(unsigned, VERSION, "policy.example", other), VERSION)


def test_a_key_that_is_none_has_signed_nothing() -> None:
    policy = policy_of({**CONTENT, "public_keys": {"ed25519": "no key"}})
    assert policy is not None
    assert not policy.has_signed(an_event().pdu, VERSION)
