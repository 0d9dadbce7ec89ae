"""The one way by which a worker sends events: to the master, by way of those who have to sign them first.

These are the room's policy server if it has one, and then the server of an invited user.

Spec: client-server API, #sending-events-to-a-room; server-server API, #policy-servers, #inviting-to-a-room.
"""

from hs_common.federation.policy_servers import PolicyServers, is_policy
from hs_common.federation.remote_invites import RemoteInvites
from hs_common.http.request import Requester
from hs_common.matrix.errors import not_found
from hs_common.matrix.policy_server import Policy
from hs_common.replication.calls import AppendedEvents, AppendEvents, AppendReady, ComposedEvent, ComposeEvent, Intent
from hs_common.replication.keys import client_key
from hs_common.replication.link_interface import Link
from hs_common.storage import room_state
from hs_common.storage.queries import Queries


class Sending:
    """Sends events of this server's users."""

    def __init__(self, db: Queries, master: Link, policies: PolicyServers, invites: RemoteInvites) -> None:
        self._db = db
        self._master = master
        self._policies = policies
        self._invites = invites

    async def send(self, intent: Intent, key: bytes | None = None) -> str:
        """The id of the event, or of the current one if state would not change. What was sent under `key` before is
        not sent again. Raises MatrixError: the master's (see `AppendEvents`), the policy server's, or the server's of
        an invited user."""
        policy = await self._policies.for_event(intent)
        if policy is not None or self._invites.is_remote(intent):
            return await self._send_signed(intent, policy, key)
        answer = await self._master.call(AppendEvents(intents=[intent]), key)
        assert isinstance(answer, AppendedEvents)
        if is_policy(intent):
            self._policies.forget(intent.room_id)
        return answer.event_ids[0]

    async def _send_signed(self, intent: Intent, policy: Policy | None, key: bytes | None) -> str:
        version = await room_state.room_version(self._db, intent.room_id)
        if version is None:
            raise not_found(f"This server does not know the room {intent.room_id}")
        composed = await self._master.call(ComposeEvent(intent=intent))
        assert isinstance(composed, ComposedEvent)
        if not composed.pdu:
            return composed.event_id
        pdu = composed.pdu
        if policy is not None:
            pdu = await self._policies.signed(policy, intent.room_id, pdu, version)
        if self._invites.is_remote(intent):
            pdu = await self._invites.signed(intent, pdu, version)
        ready = AppendReady(room_id=intent.room_id, pdu=pdu, device_id=intent.device_id, txn_id=intent.txn_id)
        answer = await self._master.call(ready, key)
        assert isinstance(answer, AppendedEvents)
        return answer.event_ids[0]


def transaction_key(requester: Requester, endpoint: str, txn_id: str) -> bytes:
    """The key of a request with a transaction id; `endpoint` is its path up to that."""
    return client_key(requester.user_id, requester.transaction_scope, "PUT", endpoint, txn_id)
