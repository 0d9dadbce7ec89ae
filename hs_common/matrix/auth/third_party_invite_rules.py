"""Rule 5.4.1: may this invite turn an invitation by e-mail or phone number into one of a user?

Spec: rooms/v1 to v12, #authorisation-rules; server-server API, #third-party-invites.
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any, Final

from hs_common.matrix import canonical_json
from hs_common.matrix.auth.error import AuthError, require
from hs_common.matrix.auth.room_state import AuthState, membership_of
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.event import Event
from hs_common.matrix.signing import ALGORITHM, VerifyKey

# Each signature is tried with each key: one signature and two keys in honest invitations, but hundreds of both fit in
# events of bad intent, and one check costs about 50 µs.
MAXIMUM_CHECKS: Final = 400


def authorise_third_party_invite(event: Event, target: str, state: AuthState) -> None:
    """Return if an invite with `content.third_party_invite` is allowed in this state, raise AuthError if not."""
    # 1. If target user is banned, reject.
    require(membership_of(state, target) != "ban", "the user is banned")
    # 2. If content.third_party_invite does not have a signed property, reject.
    signed = signed_of(event.content)
    if signed is None:
        raise AuthError("third_party_invite has no signed")
    # 3. If signed does not have mxid and token properties, reject.
    require("mxid" in signed and isinstance(signed.get("token"), str), "signed has no mxid or no token")
    # 4. If mxid does not match state_key, reject.
    require(signed["mxid"] == target, "signed is about another user")
    # 5. If there is no m.room.third_party_invite event in the current room state with state_key matching token, reject.
    invitation = state.get(("m.room.third_party_invite", signed["token"]))
    if invitation is None:
        raise AuthError("there is no such invitation")
    # 6. If sender does not match sender of the m.room.third_party_invite, reject.
    require(event.sender == invitation.sender, "the invitation is of another sender")
    # 7. If any signature in signed matches any public key in the m.room.third_party_invite event, allow.
    # 8. Otherwise, reject.
    require(is_signed(signed, invitation.content), "no signature matches the invitation")


def signed_of(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """`content.third_party_invite.signed` of an m.room.member event if there is one."""
    third_party_invite = content.get("third_party_invite")
    signed = third_party_invite.get("signed") if isinstance(third_party_invite, dict) else None
    return signed if isinstance(signed, dict) else None


def is_signed(signed: dict[str, Any], invitation: Mapping[str, Any]) -> bool:
    """Whether a key of the invitation's content made a signature of `signed`."""
    bare = {key: value for key, value in signed.items() if key not in ("signatures", "unsigned")}
    try:
        canonical_json.check(bare)
    except MatrixError:
        # What has no canonical JSON cannot have been signed.
        return False
    message = canonical_json.encode(bare)
    attempts = product(_public_keys(invitation), list(_signatures(signed)))
    return any(key.verify_bytes(message, signature) for key, signature in islice(attempts, MAXIMUM_CHECKS))


def _signatures(signed: dict[str, Any]) -> Iterator[str]:
    by_server = signed.get("signatures")
    for by_key in by_server.values() if isinstance(by_server, dict) else ():
        for signature in by_key.values() if isinstance(by_key, dict) else ():
            if isinstance(signature, str):
                yield signature


def _public_keys(invitation: Mapping[str, Any]) -> Iterator[VerifyKey]:
    # 7.1. A single public key in the public_key property.
    # 7.2. A list of public keys in the public_keys property.
    listed = invitation.get("public_keys")
    entries = listed if isinstance(listed, list) else []
    texts = [invitation.get("public_key"), *(entry.get("public_key") for entry in entries if isinstance(entry, dict))]
    for text in dict.fromkeys(text for text in texts if isinstance(text, str)):
        try:
            # Identity servers have published keys in both alphabets of base64.
            yield VerifyKey.from_base64(f"{ALGORITHM}:0", text.replace("-", "+").replace("_", "/"))
        except ValueError:
            continue
