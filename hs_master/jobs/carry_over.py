"""One slice of carrying bans and children of a space over to a new room: some events, and how far the job has come.

What the rules of the new room refuse is passed over, and what is there already changes nothing.
"""

from collections.abc import Sequence
from typing import ClassVar

import orjson
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.room_upgrades import carried_entry
from hs_common.replication.calls import Answer, Call, NewRoomEvent
from hs_common.storage.queries import Row
from hs_master import tables
from hs_master.decisions.events import EventAppender, as_intent, needs_of
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step

_log = Logger()


class CarryOver(Call, frozen=True, kw_only=True):
    """Append such events to a room. Of the leader itself, never over the link."""

    answer: ClassVar[type[Answer]] = Answer
    job_id: int
    sender: str
    room_id: str
    events: list[NewRoomEvent]
    progress: str
    is_last: bool


class CarryOverDecider:
    """Decides `CarryOver`."""

    def __init__(self, appender: EventAppender) -> None:
        self._appender = appender

    def queue(self, call: CarryOver) -> str:
        return call.room_id

    def rooms(self, call: CarryOver) -> list[str]:
        return [call.room_id]

    def needs(self, call: CarryOver, knowledge: Knowledge) -> list[Needs]:
        intents = (as_intent(call.room_id, call.sender, one.type, one.state_key, one.content) for one in call.events)
        needs = (needs_of(intent, knowledge, self._appender.server_name) for intent in intents)
        return [need for need in needs if need is not None]

    def decide(self, call: CarryOver, step: Step) -> Answer:
        known = step.room(call.room_id) is not None
        for event in call.events if known else ():
            intent = as_intent(call.room_id, call.sender, event.type, event.state_key, event.content)
            try:
                self._appender.append_intent(step, intent)
            except MatrixError as error:
                _log.info("{key} is not carried over to {room}: {error}", key=event.state_key, room=call.room_id,
                          error=error)  # fmt: skip
        if call.is_last:
            step.row(tables.JOB_DELETE, call.job_id)
        else:
            step.upsert(tables.JOB, (str(call.job_id),), call.job_id, "", call.sender, b"", call.progress)
        return Answer(pos=step.pos)


def carried(rows: Sequence[Row]) -> list[NewRoomEvent]:
    """What becomes of rows (type, state_key, json) of the old room's state in the new room."""
    contents = [(row, carried_entry(row[0], orjson.loads(row[2])["content"])) for row in rows]
    return [
        NewRoomEvent(type=event_type, state_key=state_key, content=content)
        for (event_type, state_key, _), content in contents
        if content is not None
    ]
