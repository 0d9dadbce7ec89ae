"""One slice of having guests leave a room: some of them, and how far the job has come, in one transaction."""

from typing import ClassVar

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call, Intent
from hs_master import tables
from hs_master.decisions.events import EventAppender, needs_of
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step

_log = Logger()


class RemoveGuests(Call, frozen=True, kw_only=True):
    """Have guests leave a room. Of the leader itself, never over the link."""

    answer: ClassVar[type[Answer]] = Answer
    job_id: int
    room_id: str
    user_ids: list[str]
    is_last: bool


class RemoveGuestsDecider:
    """Decides `RemoveGuests`."""

    def __init__(self, appender: EventAppender) -> None:
        self._appender = appender

    def queue(self, call: RemoveGuests) -> str:
        return call.room_id

    def rooms(self, call: RemoveGuests) -> list[str]:
        return [call.room_id]

    def needs(self, call: RemoveGuests, knowledge: Knowledge) -> list[Needs]:
        server_name = self._appender.server_name
        needs = (needs_of(_leave(call, user_id), knowledge, server_name) for user_id in call.user_ids)
        return [need for need in needs if need is not None]

    def decide(self, call: RemoveGuests, step: Step) -> Answer:
        room = step.room(call.room_id)
        for user_id in call.user_ids if room is not None else ():
            member = None if room is None else room.entry(("m.room.member", user_id))
            if member is None or member.membership != "join":
                continue  # gone meanwhile
            try:
                self._appender.append_intent(step, _leave(call, user_id))
            except MatrixError as error:
                _log.error("the guest {user} stays in {room}: {error}", user=user_id, room=call.room_id, error=error)
        if call.is_last:
            step.row(tables.JOB_DELETE, call.job_id)
        else:
            step.upsert(tables.JOB, (str(call.job_id),), call.job_id, "", "", b"", call.user_ids[-1])
        return Answer(pos=step.pos)


def _leave(call: RemoveGuests, user_id: str) -> Intent:
    content = {"membership": "leave", "reason": "Guests may not be in this room any more"}
    return Intent(room_id=call.room_id, sender=user_id, type="m.room.member", state_key=user_id, content=content)
