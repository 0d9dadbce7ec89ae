"""Bringing history of other networks into rooms, for application services.

Who may have sent it: a user that the service may act as, or one of this server that another registered service may act
as, so that whoever lets his messages be sent in his own name (double puppeting) finds them in the history too.
"""

from collections.abc import Sequence
from typing import Any, Final

from hs_common.appservices.registry import ServiceRegistry
from hs_common.http.request import Requester
from hs_common.matrix.errors import MatrixError, bad_json, forbidden, not_found
from hs_common.replication.calls import ReceiptMark, SetReceipts
from hs_common.replication.import_calls import AppendImported, Imported, ImportedEvent, ImportHistory
from hs_common.replication.link_interface import Link
from hs_common.storage import imports, room_members, room_state
from hs_common.storage.queries import Queries

MAXIMUM_EVENTS: Final = 1_000
"""Of one request: bridges import a hundred or some hundred at a time."""
EVENTS_OF_A_CALL: Final = 100


class Importing:
    """Imports in pieces, each of them whole. What was imported before is left as it is: a request may be repeated."""

    def __init__(self, db: Queries, master: Link, services: ServiceRegistry) -> None:
        self._db = db
        self._master = master
        self._services = services

    async def check(self, room_id: str, requester: Requester, events: Sequence[ImportedEvent]) -> None:
        """403 `M_FORBIDDEN`, 404 `M_NOT_FOUND`."""
        if len(events) > MAXIMUM_EVENTS:
            raise MatrixError(413, "M_TOO_LARGE", f"At most {MAXIMUM_EVENTS} events can be imported at once")
        if not await room_state.is_known(self._db, room_id):
            raise not_found(f"The room {room_id} is not known here")
        if await room_members.membership(self._db, requester.user_id, room_id) != "join":
            raise forbidden("You are not in this room")
        services = list(await self._services.services())
        for sender in {event.sender for event in events}:
            if not any(service.has_user(sender) for service in services):
                raise forbidden(f"No application service may act as {sender}")

    async def goes_forward(self, room_id: str, *, forward: bool, if_no_messages: bool) -> bool:
        """Whether the events come behind what is in the room."""
        return forward or (if_no_messages and not await imports.has_messages(self._db, room_id))

    async def forward(self, room_id: str, events: Sequence[ImportedEvent], *, notify: bool) -> list[str]:
        """The ids of the events, which were put behind the newest one of the room."""
        event_ids: list[str] = []
        for start in range(0, len(events), EVENTS_OF_A_CALL):
            piece = list(events[start : start + EVENTS_OF_A_CALL])
            answer = await self._master.call(AppendImported(room_id=room_id, events=piece, notify=notify))
            assert isinstance(answer, Imported), "it answers so"
            event_ids += answer.event_ids
        return event_ids

    async def backward(self, room_id: str, events: Sequence[ImportedEvent]) -> list[str]:
        """The ids of the events, which were put before the first message of the room. The newest piece goes first."""
        event_ids: list[str] = []
        for end in range(len(events), 0, -EVENTS_OF_A_CALL):
            piece = list(events[max(0, end - EVENTS_OF_A_CALL) : end])
            answer = await self._master.call(ImportHistory(room_id=room_id, events=piece))
            assert isinstance(answer, Imported), "it answers so"
            event_ids = answer.event_ids + event_ids
        return event_ids

    async def mark_read(self, room_id: str, user_id: str, event_id: str) -> None:
        """Moves a user's receipt, if it is behind. 403 `M_FORBIDDEN` for who is not in the room."""
        if await room_members.membership(self._db, user_id, room_id) != "join":
            raise forbidden(f"{user_id} is not in this room")
        mark = ReceiptMark(receipt_type="m.read", event_id=event_id)
        await self._master.call(SetReceipts(room_id=room_id, user_id=user_id, receipts=[mark], fully_read=event_id))


def parsed(given: Any) -> list[ImportedEvent]:
    """The events of a request. 400 `M_BAD_JSON`."""
    if not isinstance(given, list) or not given:
        raise bad_json("`events` must be a list with an event at least")
    return [_event(one) for one in given]


def _event(one: Any) -> ImportedEvent:
    if not isinstance(one, dict):
        raise bad_json("`events` must be a list of events")
    sender, event_type, content = one.get("sender"), one.get("type"), one.get("content")
    timestamp_ms, event_id = one.get("origin_server_ts"), one.get("event_id") or None
    if not isinstance(sender, str) or not isinstance(event_type, str) or not isinstance(content, dict):
        raise bad_json("An event needs `sender`, `type` and `content`")
    if not isinstance(timestamp_ms, int) or isinstance(timestamp_ms, bool) or not 0 <= timestamp_ms < 2**53:
        raise bad_json("`origin_server_ts` must be a time in milliseconds")
    if one.get("state_key") is not None or event_type in ("m.room.redaction", "m.room.create"):
        raise bad_json("State events and redactions cannot be imported")
    if event_id is not None and not isinstance(event_id, str):
        raise bad_json("`event_id` must be a text")
    if any("\0" in text for text in (sender, event_type, event_id or "")):
        raise bad_json("U+0000 cannot be stored")
    return ImportedEvent(sender=sender, type=event_type, content=content, timestamp_ms=timestamp_ms, event_id=event_id)
