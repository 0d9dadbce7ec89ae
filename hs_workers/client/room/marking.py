"""Receipts and the fully read marker.

Spec: client-server API, #receipts, #fully-read-markers.
"""

from typing import Final

from hs_common.matrix.errors import forbidden, invalid_param, not_found
from hs_common.matrix.receipts_edu import MAIN, READ, READ_PRIVATE
from hs_common.replication.calls import ReceiptMark, SetReceipts
from hs_common.replication.link_interface import Link
from hs_common.storage import room_events, room_members
from hs_common.storage.queries import Queries

FULLY_READ: Final = "m.fully_read"
RECEIPT_TYPES: Final = (READ, READ_PRIVATE, FULLY_READ)


class Marking:
    """Marks what a member of a room has read."""

    def __init__(self, db: Queries, master: Link) -> None:
        self._db = db
        self._master = master

    async def mark(self, room_id: str, user_id: str, marks: list[ReceiptMark], fully_read: str | None) -> None:
        """400 `M_INVALID_PARAM`, 403 `M_FORBIDDEN` for who is not in the room, 404 `M_NOT_FOUND` for events that are
        not in it."""
        if await room_members.membership(self._db, user_id, room_id) != "join":
            raise forbidden("You are not in this room")
        for mark in marks:
            if mark.thread_id:
                await self._check_thread(room_id, mark)
        await self._master.call(SetReceipts(room_id=room_id, user_id=user_id, receipts=marks, fully_read=fully_read))

    async def _check_thread(self, room_id: str, mark: ReceiptMark) -> None:
        """A root belongs to the main timeline, but reading it may also stand for having opened its thread."""
        row = await room_events.thread_of(self._db, room_id, mark.event_id)
        if row is None:
            raise not_found(f"The event {mark.event_id[:255]} is not in this room")
        thread_id = row[0] or MAIN
        if mark.thread_id not in (thread_id, mark.event_id):
            raise invalid_param("The event is not in that thread")
