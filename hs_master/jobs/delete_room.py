"""Slices of deleting a room: some of its users put out, or some of its rows removed, and how far the job has come."""

from typing import ClassVar

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call, Intent
from hs_common.replication.items import RoomDeletedItem
from hs_master import purge_tables, tables
from hs_master.decisions.events import EventAppender, needs_of
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step

PURGING = "purging"

_log = Logger()


class EmptyRoom(Call, frozen=True, kw_only=True):
    """Have users leave a room. Of the leader itself, never over the link."""

    answer: ClassVar[type[Answer]] = Answer
    job_id: int
    room_id: str
    delete_id: str
    user_ids: list[str]
    reason: str | None
    is_last: bool  # no others are in it
    purge: bool  # the job goes on afterwards


class EmptyRoomDecider:
    """Decides `EmptyRoom`."""

    def __init__(self, appender: EventAppender) -> None:
        self._appender = appender

    def queue(self, call: EmptyRoom) -> str:
        return call.room_id

    def rooms(self, call: EmptyRoom) -> list[str]:
        return [call.room_id]

    def needs(self, call: EmptyRoom, knowledge: Knowledge) -> list[Needs]:
        server_name = self._appender.server_name
        needs = (needs_of(_leave(call, user_id), knowledge, server_name) for user_id in call.user_ids)
        return [need for need in needs if need is not None]

    def decide(self, call: EmptyRoom, step: Step) -> Answer:
        known = step.room(call.room_id) is not None
        for user_id in call.user_ids if known else ():
            try:
                self._appender.append_intent(step, _leave(call, user_id))
            except MatrixError as error:
                _log.warn("{user} stays in the deleted {room}: {error}", user=user_id, room=call.room_id, error=error)
        if not call.is_last:
            step.upsert(tables.JOB, (str(call.job_id),), call.job_id, "", "", b"", call.user_ids[-1])
        elif call.purge:
            step.upsert(tables.JOB, (str(call.job_id),), call.job_id, "", "", b"", PURGING)
            step.row(purge_tables.DELETION_STATUS, call.delete_id, PURGING)
        else:
            end(step, call.job_id, call.delete_id)
        return Answer(pos=step.pos)


class PurgeRoom(Call, frozen=True, kw_only=True):
    """Remove some rows of a room; `stage` None: all are gone. Of the leader itself, never over the link."""

    answer: ClassVar[type[Answer]] = Answer
    job_id: int
    room_id: str
    delete_id: str
    stage: str | None


class PurgeRoomDecider:
    """Decides `PurgeRoom`."""

    def queue(self, call: PurgeRoom) -> str:
        return call.room_id

    def rooms(self, call: PurgeRoom) -> list[str]:
        return []

    def needs(self, call: PurgeRoom, knowledge: Knowledge) -> list[Needs]:
        return []

    def decide(self, call: PurgeRoom, step: Step) -> Answer:
        if call.stage is None:
            end(step, call.job_id, call.delete_id)
            return Answer(pos=step.item(RoomDeletedItem(call.room_id)))
        for write in purge_tables.STAGES[call.stage]:
            step.row(write, call.room_id)
        if call.stage == purge_tables.ORDER[0]:
            step.drop_room(call.room_id)
        return Answer(pos=step.pos)


def end(step: Step, job_id: int, delete_id: str) -> None:
    step.row(tables.JOB_DELETE, job_id)
    step.row(purge_tables.DELETION_STATUS, delete_id, "complete")


def _leave(call: EmptyRoom, user_id: str) -> Intent:
    content = {"membership": "leave", **({"reason": call.reason} if call.reason else {})}
    return Intent(room_id=call.room_id, sender=user_id, type="m.room.member", state_key=user_id, content=content)
