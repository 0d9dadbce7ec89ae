"""The policy server that a room uses: as the room's state names it, and whether it has signed an event. Pure.

Spec: server-server API, #policy-servers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hs_common.matrix.event import StateKey
from hs_common.matrix.room_versions import RoomVersion
from hs_common.matrix.signing import SignatureError, VerifyKey, verify_event

POLICY: Final = "m.room.policy"
POLICY_KEY: Final[StateKey] = (POLICY, "")
KEY_ID: Final = "ed25519:policy_server"
"""The only key that a policy server signs with. Spec: #validating-policy-server-signatures."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy server that a room uses."""

    server: str
    public_key: str

    def has_signed(self, pdu: Mapping[str, Any], version: RoomVersion) -> bool:
        """Whether a complete event has its valid signature."""
        try:
            key = VerifyKey.from_base64(KEY_ID, self.public_key)
            verify_event(pdu, version, self.server, {KEY_ID: key})
        except (SignatureError, ValueError):
            return False
        return True


def policy_of(content: Mapping[str, Any]) -> Policy | None:
    """The policy server named by the content of an m.room.policy event; None if it is not valid.

    The room uses it only while a user of that server is in the room.
    """
    server, keys = content.get("via"), content.get("public_keys")
    key = keys.get("ed25519") if isinstance(keys, dict) else None
    return Policy(server, key) if isinstance(server, str) and isinstance(key, str) else None
