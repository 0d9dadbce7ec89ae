"""Events received for a room that uses a policy server: one that lacks its signature gets it, if it can be had.

An event without one is taken in all the same: the master soft fails it.

Spec: server-server API, #validating-policy-server-signatures.
"""

from collections.abc import Sequence
from typing import Final

from twisted.logger import Logger

from hs_common.federation.fetching import Room
from hs_common.federation.policy_servers import PolicyServer, PolicyServers
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.policy_server import KEY_ID, POLICY, Policy
from hs_common.matrix.received_pdu import ReceivedPdu, with_signatures
from hs_common.matrix.signing import signatures_of

ASKED: Final = 20
"""Events of one bundle for which the policy server is asked: honest servers have asked it themselves."""

_log = Logger()


class PolicyChecks:
    """Asks policy servers about received events."""

    def __init__(self, policies: PolicyServers, asking: PolicyServer) -> None:
        self._policies = policies
        self._asking = asking

    async def signed(self, room: Room, events: Sequence[ReceivedPdu]) -> list[ReceivedPdu]:
        """The events, with the policy server's signatures where there are any."""
        policy = await self._policies.of_room(room.room_id)
        if policy is None:
            return list(events)
        asked = 0
        signed = []
        for event in events:
            if asked < ASKED and _needs_signature(event, policy, room):
                asked += 1
                event = await self._asked(event, policy)
            signed.append(event)
        return signed

    async def _asked(self, event: ReceivedPdu, policy: Policy) -> ReceivedPdu:
        try:
            given = await self._asking.sign(policy.server, dict(event.event.pdu))
        except MatrixError as error:
            _log.info(
                "{server} does not recommend {event}: {error}", server=policy.server, event=event.event_id, error=error
            )
            return event
        signature = signatures_of(given, policy.server).get(KEY_ID)
        return with_signatures(event, {policy.server: {KEY_ID: signature}}) if isinstance(signature, str) else event


def _needs_signature(event: ReceivedPdu, policy: Policy, room: Room) -> bool:
    if event.event.type == POLICY and event.event.state_key == "":
        return False
    return not policy.has_signed(event.event.pdu, room.version)
