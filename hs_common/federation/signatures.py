"""Whether events carry the signatures that they need, as the key ring checks them: many at a time, in threads.

Spec: server-server API, #validating-hashes-and-signatures-on-received-events.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from hs_common.federation.key_ring import Proof
from hs_common.matrix.received_pdu import ReceivedPdu


class Checker(Protocol):
    """A key ring."""

    async def check(self, proofs: Sequence[Proof]) -> list[str | None]:
        """For each proof None if it holds, else why it does not."""


class SignatureChecks:
    """Checks signatures of received events."""

    def __init__(self, keys: Checker) -> None:
        self._keys = keys

    async def failures(self, events: Sequence[ReceivedPdu], *, without: Collection[str] = ()) -> dict[str, str]:
        """Why events are to be dropped, by their ids; those that are not named are signed by all who must.

        `without`: servers whose signature is not looked for, since it is about to be added.
        """
        jobs = [(event, server) for event in events for server in sorted(event.signers) if server not in without]
        if not jobs:
            return {}
        reasons = await self._keys.check([_proof(event, server) for event, server in jobs])
        return {event.event_id: reason for (event, _), reason in zip(jobs, reasons, strict=True) if reason is not None}

    async def is_signed_by(self, event: ReceivedPdu, server: str) -> str | None:
        """None if a server has signed an event, else why that is not so."""
        return (await self._keys.check([_proof(event, server)]))[0]


def _proof(event: ReceivedPdu, server: str) -> Proof:
    is_bound = event.event.room_version.enforce_key_validity
    return Proof(server, event.signed, event.signatures, event.event.origin_server_ts if is_bound else None)
