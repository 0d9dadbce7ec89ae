"""Policy servers: events of a room that uses one are signed by it before they are sent.

Whether a room uses one is kept, since every message asks; a change of it is seen at once where it was made, and
elsewhere when the log tells of it. What the log does not tell, that the policy server left the room or came back, is
looked at every few seconds, where a room names one. A *no* comes from the truth: what fails is looked at anew.

Spec: server-server API, #policy-servers.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import orjson

from hs_common.bounded import Bounded
from hs_common.matrix.canonical_json import encode
from hs_common.matrix.errors import MatrixError, forbidden
from hs_common.matrix.policy_server import KEY_ID, POLICY, Policy, policy_of
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import signatures_of
from hs_common.replication.calls import Intent
from hs_common.replication.room_settings import settings_subscription
from hs_common.replication.subscription import Subscription
from hs_common.storage import room_state
from hs_common.storage.queries import Queries

KEPT_S: Final = 5.0
"""How long a room's policy server is believed without looking again."""
KEPT_WITHOUT_S: Final = 60.0
"""How long it is believed that a room names none. The log tells of the first, if this server is in the room."""
MAXIMUM_KEPT: Final = 10_000
"""Rooms of which that is known; an entry has some hundred bytes."""


class PolicyServer(Protocol):
    """Asks policy servers."""

    async def sign(self, server: str, pdu: dict[str, Any]) -> dict[str, Any]:
        """`signatures` of the policy server on an event. Raises MatrixError: the server's own error, verbatim."""


class Unreachable:
    """What asks where there is no way to other servers."""

    async def sign(self, server: str, pdu: dict[str, Any]) -> dict[str, Any]:
        """Refuses."""
        raise forbidden(f"The policy server {server} of this room cannot be reached")


class PolicyServers:
    """Which rooms use a policy server, and its signatures. `seconds` is a clock that never goes back."""

    def __init__(self, db: Queries, asking: PolicyServer, seconds: Callable[[], float]) -> None:
        self._db = db
        self._asking = asking
        self._seconds = seconds
        self._known = Bounded[str, tuple[float, Policy | None]](MAXIMUM_KEPT)  # until when it is believed
        self._changes = 0  # how often the log told of one

    async def for_event(self, intent: Intent) -> Policy | None:
        """The policy server that must sign an event."""
        return None if is_policy(intent) else await self.of_room(intent.room_id)

    async def of_room(self, room_id: str) -> Policy | None:
        """The policy server that a room uses."""
        known = self._known.get(room_id)
        if known is not None and self._seconds() < known[0]:
            return known[1]
        changes = self._changes
        policy, kept_s = await self._read(room_id)
        if changes != self._changes:
            return policy  # it may have been read as it was before: who asks next looks again
        self._known[room_id] = (self._seconds() + kept_s, policy)
        return policy

    def subscription(self) -> Subscription:
        """For the process' follower."""
        return settings_subscription("policy servers", POLICY, self.forget, self._forget_all)

    def forget(self, room_id: str) -> None:
        """The room's policy server may be another now."""
        self._changes += 1
        self._known.pop(room_id, None)

    def _forget_all(self) -> None:
        self._changes += 1
        self._known.clear()

    async def signed(self, policy: Policy, room_id: str, encoded: bytes, version: str) -> bytes:
        """A complete event with the policy server's signature added. Raises MatrixError."""
        try:
            return await self._signed(policy, encoded, version)
        except MatrixError:
            self.forget(room_id)
            current = await self.of_room(room_id)
            if current == policy:
                raise
        return encoded if current is None else await self._signed(current, encoded, version)

    async def _signed(self, policy: Policy, encoded: bytes, version: str) -> bytes:
        pdu = orjson.loads(encoded)
        given = await self._asking.sign(policy.server, pdu)
        signature = signatures_of(given, policy.server).get(KEY_ID)
        ours = pdu["signatures"].get(policy.server, {})
        pdu["signatures"][policy.server] = {**ours, KEY_ID: signature}
        if not policy.has_signed(pdu, ROOM_VERSIONS[version]):
            raise MatrixError(403, "M_FORBIDDEN", "The policy server's signature is not valid")
        return encode(pdu)

    async def _read(self, room_id: str) -> tuple[Policy | None, float]:
        """The room's policy server, and for how many seconds that is to be believed."""
        rows = await room_state.entries(self._db, room_id, [(POLICY, "")], room_state.NOW)
        policy = policy_of(orjson.loads(rows[0][3])["content"]) if rows else None
        if policy is None:
            return None, KEPT_WITHOUT_S
        return policy if await room_state.server_is_in_room(self._db, room_id, policy.server) else None, KEPT_S


def is_policy(intent: Intent) -> bool:
    """Whether an event sets the room's policy server: it needs no signature, or none could be got rid of."""
    return intent.type == POLICY and intent.state_key == ""
