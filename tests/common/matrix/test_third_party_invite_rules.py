"""The rule that an invite of a user must follow from an invitation by e-mail or phone number."""

from typing import Any

import pytest

from hs_common.matrix import base64
from hs_common.matrix.auth.third_party_invite_rules import MAXIMUM_CHECKS
from hs_common.matrix.auth_rules import AuthError, authorise
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import RoomVersion
from hs_common.matrix.signing import SigningKey, sign
from tests.common.matrix.room import ALICE, ALL_VERSIONS, BOB, CAROL, Row, member
from tests.common.matrix.scenarios.auth_case import AuthCase, event_of

# Its public half contains both "+" and "/", which the alphabets of base64 write differently.
KEY = SigningKey("0", b"a" * 32)
OTHER_KEY = SigningKey("0", b"o" * 32)
PUBLIC = KEY.verify_key.to_base64()
OTHER_PUBLIC = OTHER_KEY.verify_key.to_base64()
SIGNED = sign({"mxid": CAROL, "token": "token"}, "id.example", KEY)


def invitation(content: dict[str, Any] | None = None, sender: str = BOB) -> Row:
    """Bob invited somebody by e-mail."""
    return Row("invitation", sender, "m.room.third_party_invite", "token", content or {"public_key": PUBLIC})


def invite(third_party_invite: object) -> Row:
    """The invite of Carol that comes of it, in Bob's name, although he may be gone by now."""
    content = {"membership": "invite", "third_party_invite": third_party_invite}
    return Row("event", BOB, "m.room.member", CAROL, content)


def attempt(version: RoomVersion, event: Row, *given: Row) -> None:
    state: dict[StateKey, Event] = AuthCase("", event, [member("bob", BOB, "leave"), *given]).state(version)
    authorise(event_of(event, version), state)


def refused(event: Row, *given: Row) -> str:
    reasons = set()
    for version in ALL_VERSIONS:
        with pytest.raises(AuthError) as error:
            attempt(version, event, *given)
        reasons.add(error.value.reason)
    assert len(reasons) == 1
    return reasons.pop()


URL_SAFE = KEY.verify_key.to_base64().replace("+", "-").replace("/", "_")


@pytest.mark.parametrize(
    "keys",
    [
        {"public_key": PUBLIC},
        {"public_key": URL_SAFE},
        {"public_key": OTHER_PUBLIC, "public_keys": [{"public_key": PUBLIC}]},
        {"public_key": "!", "public_keys": [5, {}, {"public_key": 5}, {"public_key": "AAAA"}, {"public_key": PUBLIC}]},
    ],
)
def test_a_signed_invite_is_allowed(keys: dict[str, Any]) -> None:
    for version in ALL_VERSIONS:
        attempt(version, invite({"signed": SIGNED, "display_name": "carol"}), invitation(keys))


def test_one_good_signature_is_enough() -> None:
    by_other = sign({"mxid": CAROL, "token": "token"}, "other.example", OTHER_KEY)["signatures"]
    signatures = {"broken": 5, "worse": {"ed25519:0": 5, "x": "AAAA"}, **by_other, **SIGNED["signatures"]}
    attempt(ALL_VERSIONS[0], invite({"signed": {**SIGNED, "signatures": signatures}}), invitation())


def test_a_banned_user_is_not_invited() -> None:
    ban = member("ban", CAROL, "ban", sender=ALICE)
    assert refused(invite({"signed": SIGNED}), invitation(), ban) == "the user is banned"


@pytest.mark.parametrize("broken", [None, {}, {"signed": None}, {"signed": "x"}, []])
def test_it_must_be_signed(broken: object) -> None:
    assert refused(invite(broken), invitation()) == "third_party_invite has no signed"


@pytest.mark.parametrize("missing", ["mxid", "token"])
def test_signed_names_user_and_token(missing: str) -> None:
    signed = {key: value for key, value in SIGNED.items() if key != missing}
    assert refused(invite({"signed": signed}), invitation()) == "signed has no mxid or no token"


def test_signed_is_about_the_user_invited() -> None:
    signed = sign({"mxid": ALICE, "token": "token"}, "id.example", KEY)
    assert refused(invite({"signed": signed}), invitation()) == "signed is about another user"


def test_there_must_be_an_invitation() -> None:
    assert refused(invite({"signed": SIGNED})) == "there is no such invitation"


def test_the_invitation_is_of_the_same_sender() -> None:
    assert refused(invite({"signed": SIGNED}), invitation(sender=ALICE)) == "the invitation is of another sender"


@pytest.mark.parametrize(
    ("signed", "keys"),
    [
        (SIGNED, {"public_key": OTHER_PUBLIC}),
        (SIGNED, {"public_keys": 5}),
        ({**SIGNED, "added": 1}, {"public_key": PUBLIC}),
        ({**SIGNED, "added": 1.5}, {"public_key": PUBLIC}),
        ({**SIGNED, "signatures": 5}, {"public_key": PUBLIC}),
    ],
)
def test_a_signature_must_match(signed: dict[str, Any], keys: dict[str, Any]) -> None:
    assert refused(invite({"signed": signed}), invitation(keys)) == "no signature matches the invitation"


def test_only_so_many_signatures_are_tried() -> None:
    wrong = base64.encode(b"w" * 64)
    flood = {f"ed25519:{number}": wrong for number in range(MAXIMUM_CHECKS)}
    signed = {**SIGNED, "signatures": {"a": flood, **SIGNED["signatures"]}}
    assert refused(invite({"signed": signed}), invitation()) == "no signature matches the invitation"
    del flood["ed25519:0"]
    attempt(ALL_VERSIONS[0], invite({"signed": signed}), invitation())
