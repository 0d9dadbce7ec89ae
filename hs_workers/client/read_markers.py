"""The fully read marker, and receipts with it.

Spec: client-server API, #fully-read-markers.
"""

from typing import Any, Literal

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.identifiers import is_event_id
from hs_common.replication.calls import ReceiptMark
from hs_workers.client.accounts.json_fields import optional_string
from hs_workers.client.room.marking import FULLY_READ, Marking


class ReadMarkers:
    """All of them in one request."""

    def __init__(self, marking: Marking) -> None:
        self._marking = marking

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/read_markers",
        auth=Auth.USER,
        aliases=(r0, v1),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidread_markers",
    )
    async def set(self, request: Request) -> Reply:
        """Those that are given."""
        body = request.json(optional=True)
        kinds: tuple[Literal["m.read"], Literal["m.read.private"]] = ("m.read", "m.read.private")
        marks = [
            ReceiptMark(receipt_type=kind, event_id=event_id)
            for kind in kinds
            for event_id in [_event_id(body, kind)]
            if event_id is not None
        ]
        fully_read = _event_id(body, FULLY_READ)
        if marks or fully_read is not None:
            await self._marking.mark(request.path["roomId"], request.requester.user_id, marks, fully_read)
        return {}


def _event_id(body: dict[str, Any], key: str) -> str | None:
    event_id = optional_string(body, key)
    if event_id is not None and not is_event_id(event_id):
        raise invalid_param(f"`{key}` must be an event id")
    return event_id
