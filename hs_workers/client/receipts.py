"""Receipts: what a user has read.

Spec: client-server API, #receipts.
"""

from typing import Literal, cast

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.identifiers import is_event_id
from hs_common.replication.calls import ReceiptMark
from hs_workers.client.room.marking import FULLY_READ, RECEIPT_TYPES, Marking


class Receipts:
    """Public and private ones, of a room or a thread, and the fully read marker."""

    def __init__(self, marking: Marking) -> None:
        self._marking = marking

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}",
        auth=Auth.USER,
        aliases=(r0, v1),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid",
    )
    async def set(self, request: Request) -> Reply:
        """Moves one forward."""
        path, user_id = request.path, request.requester.user_id
        receipt_type, event_id = path["receiptType"], path["eventId"]
        if receipt_type not in RECEIPT_TYPES:
            raise invalid_param(f"The type of a receipt must be one of {', '.join(RECEIPT_TYPES)}")
        if not is_event_id(event_id):
            raise invalid_param("Not a valid event id")
        thread_id = _thread_id(request.json(optional=True), receipt_type)
        if receipt_type == FULLY_READ:
            await self._marking.mark(path["roomId"], user_id, [], event_id)
        else:
            kind = cast(Literal["m.read", "m.read.private"], receipt_type)
            mark = ReceiptMark(receipt_type=kind, event_id=event_id, thread_id=thread_id)
            await self._marking.mark(path["roomId"], user_id, [mark], None)
        return {}


def _thread_id(body: dict[str, object], receipt_type: str) -> str:
    """`thread_id`, or '' for an unthreaded receipt. 400 `M_INVALID_PARAM`."""
    if "thread_id" not in body:
        return ""
    thread_id = body["thread_id"]
    if receipt_type == FULLY_READ:
        raise invalid_param("The fully read marker has no thread")
    if not isinstance(thread_id, str) or not (thread_id == "main" or is_event_id(thread_id)):
        raise invalid_param("`thread_id` must be `main` or the event id of a thread's root")
    return thread_id
