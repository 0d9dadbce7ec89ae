"""Deciding on the deletion of a room: what ends at once, and the job that does the rest.

Other servers and application services are told of the leaves before the events are removed, if they can be reached
within `TOLD_WITHIN_MS`.
"""

from typing import Final

from hs_common.matrix.errors import not_found
from hs_common.replication.calls import Answer
from hs_common.replication.items import AliasItem, DirectoryItem
from hs_common.replication.room_calls import DeleteRoom
from hs_master import purge_tables, tables
from hs_master.jobs.kinds import DeleteRoomJob, write_job
from hs_master.rooms import interest
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step

TOLD_WITHIN_MS: Final = 60_000
# Clients that wait for news are told of their leaving before the events go.
CLIENTS_TOLD_WITHIN_MS: Final = 5_000


class DeleteRoomDecider:
    """Decides `DeleteRoom`."""

    def __init__(self, server_name: str) -> None:
        self._server_name = server_name

    def queue(self, call: DeleteRoom) -> str:
        return call.room_id

    def rooms(self, call: DeleteRoom) -> list[str]:
        return [call.room_id]

    def needs(self, call: DeleteRoom, knowledge: Knowledge) -> list[Needs]:
        return [Needs(call.room_id)]

    def decide(self, call: DeleteRoom, step: Step) -> Answer:
        room = step.room(call.room_id)
        if room is None:
            raise not_found(f"This server does not know the room {call.room_id}")
        for alias in call.aliases:
            step.row(tables.ALIAS_DELETE, alias)
            pos = step.item(AliasItem(alias, call.room_id, removed=True))
            interest.remove_alias(step, call.room_id, alias, pos)
        step.row(tables.ROOM_DIRECTORY, call.room_id, False)
        step.item(DirectoryItem(call.room_id, False))
        has_others = room.joined > room.server_joined(self._server_name) or step.services.anyone_listens
        due_ms = step.now_ms + (TOLD_WITHIN_MS if has_others else CLIENTS_TOLD_WITHIN_MS)
        step.row(purge_tables.DELETION, call.delete_id, call.room_id, "shutting_down", call.told.decode(), step.now_ms)
        write_job(step, "", DeleteRoomJob(call.room_id, call.delete_id, call.purge, call.reason, due_ms))
        return Answer(pos=step.pos)
