"""Redacting events.

Spec: client-server API, #redactions.
"""

from typing import Any, Final

from hs_common.federation.sending import Sending
from hs_common.http.request import Requester
from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Intent
from hs_common.storage import room_events
from hs_common.storage.queries import Queries

REDACTION: Final = "m.room.redaction"


class Redacting:
    """Whether the user may is decided at the master."""

    def __init__(self, db: Queries, sending: Sending) -> None:
        self._db = db
        self._sending = sending

    async def redact(
        self, room_id: str, requester: Requester, target: str, content: dict[str, Any], txn_id: str, key: bytes
    ) -> str:
        """The id of the redaction. 403 `M_FORBIDDEN`, `M_USER_SUSPENDED`; 404 `M_NOT_FOUND`."""
        if requester.suspended:
            await self._check_own(room_id, requester.user_id, target)
        intent = Intent(
            room_id=room_id,
            sender=requester.user_id,
            type=REDACTION,
            content=content,
            redacts=target,
            device_id=requester.device_id,
            txn_id=txn_id,
        )
        return await self._sending.send(intent, key)

    async def _check_own(self, room_id: str, user_id: str, target: str) -> None:
        sender = await room_events.sender_of(self._db, room_id, target)
        if sender != user_id:
            raise MatrixError(403, "M_USER_SUSPENDED", "A suspended account can only redact its own events")
