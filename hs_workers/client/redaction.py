"""Redacting events.

Spec: client-server API, #redactions.
"""

from hs_common.federation.sending import transaction_key
from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json
from hs_workers.client.room.event_content import check_content
from hs_workers.client.room.redacting import Redacting


class Redaction:
    """Own events, or with power those of others."""

    def __init__(self, redacting: Redacting) -> None:
        self._redacting = redacting

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}",
        auth=Auth.USER,
        rate=Rate.MESSAGE,
        aliases=(r0, v1),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid",
    )
    async def redact(self, request: Request) -> Reply:
        """Strips an event of its content."""
        path, requester = request.path, request.requester
        content = {key: value for key, value in request.json(optional=True).items() if key == "reason"}
        if not isinstance(content.get("reason", ""), str):
            raise bad_json("`reason` must be a string")
        check_content(content)
        room_id, event_id, txn_id = path["roomId"], path["eventId"], path["txnId"]
        key = transaction_key(requester, f"/rooms/{room_id}/redact/{event_id}", txn_id)
        return {"event_id": await self._redacting.redact(room_id, requester, event_id, content, txn_id, key)}
