"""Deciding on what belongs to rooms but is not an event: aliases, the directory, forgetting, receipts.

Spec: client-server-api/_index.md#room-aliases, #leaving-rooms, modules/receipts.md, modules/read_markers.md.
"""

from typing import Any

import orjson

from hs_common.matrix.errors import MatrixError, not_found
from hs_common.replication.calls import (
    Answer,
    DeleteAlias,
    ForgetRoom,
    ReceiptMark,
    SetAlias,
    SetDirectory,
    SetReceipts,
)
from hs_common.replication.items import AccountDataItem, AliasItem, DirectoryItem, ForgetItem, ReceiptItem
from hs_common.storage import master_reads, room_directory, room_members
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.rooms import interest
from hs_master.step import Step

FULLY_READ = "m.fully_read"


class SetAliasDecider:
    def queue(self, call: SetAlias) -> str:
        return f"alias {call.alias}"

    async def load(self, call: SetAlias, db: Queries) -> tuple[Any, bool | None]:
        return await room_directory.alias(db, call.alias), await room_directory.is_published(db, call.room_id)

    def decide(self, call: SetAlias, step: Step, loaded: tuple[Any, bool | None]) -> Answer:
        taken, room = loaded
        if taken is not None:
            raise MatrixError(409, "M_UNKNOWN", f"The alias {call.alias} exists already")
        if room is None:
            raise not_found(f"This server does not know the room {call.room_id}")
        pos = step.item(AliasItem(call.alias, call.room_id))
        interest.add_alias(step, call.room_id, call.alias, pos)
        step.row(tables.ALIAS, call.alias, call.room_id, call.creator, pos)
        return Answer(pos=pos)


class DeleteAliasDecider:
    def queue(self, call: DeleteAlias) -> str:
        return f"alias {call.alias}"

    async def load(self, call: DeleteAlias, db: Queries) -> Any:
        return await room_directory.alias(db, call.alias)

    def decide(self, call: DeleteAlias, step: Step, loaded: Any) -> Answer:
        if loaded is None:
            raise not_found(f"There is no alias {call.alias}")
        step.row(tables.ALIAS_DELETE, call.alias)
        pos = step.item(AliasItem(call.alias, loaded[0], removed=True))
        interest.remove_alias(step, loaded[0], call.alias, pos)
        return Answer(pos=pos)


class SetDirectoryDecider:
    def queue(self, call: SetDirectory) -> str:
        return f"directory {call.room_id}"

    async def load(self, call: SetDirectory, db: Queries) -> bool | None:
        return await room_directory.is_published(db, call.room_id)

    def decide(self, call: SetDirectory, step: Step, loaded: bool | None) -> Answer:
        if loaded is None:
            raise not_found(f"This server does not know the room {call.room_id}")
        if loaded is call.is_public:
            return Answer(pos=step.pos)
        step.row(tables.ROOM_DIRECTORY, call.room_id, call.is_public)
        return Answer(pos=step.item(DirectoryItem(call.room_id, call.is_public)))


class ForgetRoomDecider:
    def queue(self, call: ForgetRoom) -> str:
        return f"forget {call.user_id} {call.room_id}"

    async def load(self, call: ForgetRoom, db: Queries) -> str | None:
        return await room_members.membership(db, call.user_id, call.room_id)

    def decide(self, call: ForgetRoom, step: Step, loaded: str | None) -> Answer:
        if loaded is None:
            raise not_found(f"You have never been in {call.room_id}")
        if loaded not in ("leave", "ban"):
            raise MatrixError(400, "M_UNKNOWN", "Leave the room before you forget it")
        step.row(tables.MEMBERSHIP_FORGET, call.user_id, call.room_id)
        return Answer(pos=step.item(ForgetItem(call.user_id, call.room_id)))


class SetReceiptsDecider:
    """Receipts move forward only, each thread for itself. The fully read marker may go anywhere."""

    def queue(self, call: SetReceipts) -> str:
        return f"receipts {call.user_id} {call.room_id}"

    async def load(self, call: SetReceipts, db: Queries) -> tuple[Any, Any, str | None]:
        wanted = [mark.event_id for mark in call.receipts] + ([call.fully_read] if call.fully_read else [])
        return (
            await master_reads.event_places(db, call.room_id, wanted),
            await master_reads.receipts(db, call.room_id, call.user_id),
            await master_reads.account_data(db, call.user_id, call.room_id, FULLY_READ) if call.fully_read else None,
        )

    def decide(self, call: SetReceipts, step: Step, loaded: tuple[Any, Any, str | None]) -> Answer:
        places, current, marker = loaded
        for mark in call.receipts:
            if mark.event_id not in places:
                raise not_found(f"The event {mark.event_id} is not in this room")
            place = places[mark.event_id]
            if current.get((mark.receipt_type, mark.thread_id), (-1, 0)) < place:
                self._move(call, mark, place, step)
        if call.fully_read is not None:
            self._mark_fully_read(call, call.fully_read, marker, places, step)
        return Answer(pos=step.pos)

    def _move(self, call: SetReceipts, mark: ReceiptMark, place: tuple[int, int], step: Step) -> None:
        ts = step.now_ms if call.timestamp_ms is None else call.timestamp_ms
        item = ReceiptItem(call.room_id, call.user_id, mark.receipt_type, mark.thread_id, mark.event_id, ts, *place)
        pos = step.item(item)
        key = (call.room_id, call.user_id, mark.receipt_type, mark.thread_id)
        step.upsert(tables.RECEIPT, key, *key, mark.event_id, *place, ts, pos)

    def _mark_fully_read(
        self, call: SetReceipts, event_id: str, marker: str | None, places: dict[str, Any], step: Step
    ) -> None:
        if event_id not in places:
            raise not_found(f"The event {event_id} is not in this room")
        content = orjson.dumps({"event_id": event_id})
        if marker is not None and marker.encode() == content:
            return
        pos = step.item(AccountDataItem(call.user_id, call.room_id, FULLY_READ, content))
        key = (call.user_id, call.room_id, FULLY_READ)
        step.upsert(tables.ACCOUNT_DATA, key, *key, content.decode(), pos)
