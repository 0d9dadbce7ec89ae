"""What other servers send as it happens.

Spec: server-server API, #transactions.
"""

from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.federation_inbound.answered import Answered
from hs_workers.federation_inbound.transaction_intake import TransactionIntake

BODY_LIMIT_BYTES: Final = 16 << 20
"""50 events of 64 KiB with what their senders add to them, and 100 EDUs, of which device lists and keys are large."""


class Transactions:
    """Repeating a transaction changes nothing."""

    def __init__(self, intake: TransactionIntake) -> None:
        self._intake = intake

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send/{txnId}",
        auth=Auth.SERVER,
        rate=Rate.NONE,
        body_limit_bytes=BODY_LIMIT_BYTES,
        spec="server-server-api/#put_matrixfederationv1sendtxnid",
    )
    async def send(self, request: Request) -> Reply:
        """Events and ephemeral data."""
        key = Answered.key(request.origin, request.path["txnId"], request.raw)
        return {"pdus": await self._intake.receive(request.origin, request.json(), key)}
