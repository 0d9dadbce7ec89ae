"""Sending messages: all events that are no state.

Spec: client-server API, #sending-events-to-a-room.
"""

from hs_common.federation.sending import Sending, transaction_key
from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, bad_json
from hs_common.replication.calls import Intent
from hs_workers.client.massaged import timestamp_of
from hs_workers.client.room.delaying import Delaying, Later
from hs_workers.client.room.event_content import check_type, content_of
from hs_workers.client.room.redacting import REDACTION, Redacting


class RoomSend:
    """Repeating a request with its transaction id sends nothing twice."""

    def __init__(self, sending: Sending, redacting: Redacting, delaying: Delaying) -> None:
        self._sending = sending
        self._redacting = redacting
        self._delaying = delaying

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.MESSAGE,
        aliases=(r0, v1),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid",
    )
    async def send(self, request: Request) -> Reply:
        """Sends an event. A suspended user may send redactions of his own events, and nothing else."""
        path, requester, content = request.path, request.requester, content_of(request)
        room_id, event_type, txn_id = path["roomId"], check_type(path["eventType"]), path["txnId"]
        key = transaction_key(requester, f"/rooms/{room_id}/send/{event_type}", txn_id)
        delay_ms = self._delaying.delay_of_query(request)
        if delay_ms is not None:
            later = Later(room_id, event_type, content)
            return {"delay_id": await self._delaying.schedule(request, later, delay_ms, key)}
        if event_type == REDACTION:
            target = content.pop("redacts", None)
            if not isinstance(target, str):
                raise bad_json("`redacts` must be the id of an event")
            return {"event_id": await self._redacting.redact(room_id, requester, target, content, txn_id, key)}
        if requester.suspended:
            raise MatrixError(403, "M_USER_SUSPENDED", "This account has been suspended and cannot send messages")
        intent = Intent(
            room_id=room_id,
            sender=requester.user_id,
            type=event_type,
            content=content,
            timestamp_ms=timestamp_of(request),
            device_id=requester.device_id,
            txn_id=txn_id,
        )
        return {"event_id": await self._sending.send(intent, key)}
