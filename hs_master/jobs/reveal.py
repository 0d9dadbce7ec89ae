"""One slice of showing redactions that waited for what they redact: some of them, in one transaction.

Where nobody of this server is in the room, they go on waiting: whoever enters it again looks for them.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.reading.missing_events import missing_from_timeline
from hs_common.replication.calls import Answer, Call
from hs_common.storage import room_forks, room_state
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.decisions.receiving import Preparing
from hs_master.rooms.waiting_redactions import MAXIMUM_HELD, WaitingRedaction, look_again, reveal
from hs_master.step import Step


class RevealRedactions(Call, frozen=True, kw_only=True):
    """Show what waited for these events, as far as they are here. Of the leader itself, never over the link."""

    answer: ClassVar[type[Answer]] = Answer
    job_id: int
    room_id: str
    target_ids: list[str]


@dataclass(slots=True)
class _Loaded:
    waiting: list[WaitingRedaction] = field(default_factory=list)
    absent: dict[str, list[str]] = field(default_factory=dict)  # by redaction, what is missing before it
    awaited: set[str] = field(default_factory=set)  # of the redactions, those that others wait for


class RevealRedactionsDecider:
    """Decides `RevealRedactions`."""

    def __init__(self, preparing: Preparing) -> None:
        self._preparing = preparing

    def queue(self, call: RevealRedactions) -> str:
        return call.room_id

    async def load(self, call: RevealRedactions, db: Queries) -> _Loaded:
        loaded = _Loaded()
        rows = await room_forks.waiting_redactions(db, call.room_id, call.target_ids, MAXIMUM_HELD)
        identifier = await room_state.room_version(db, call.room_id) if rows else None
        if identifier is None:
            return loaded
        version = ROOM_VERSIONS[identifier]
        waiting = [WaitingRedaction.of(row, version) for row in rows]
        if not await self._preparing.prepare_redactions(call.room_id, [one.event for one in waiting]):
            return loaded
        loaded.waiting = waiting
        for one in waiting:
            if one.absent:
                loaded.absent[one.event.event_id] = list(await missing_from_timeline(db, version, one.absent.split()))
        here = await room_forks.arrivals(db, [one.event.event_id for one in waiting])
        loaded.awaited = {event_id for event_id, status, *_ in here if status is None}
        return loaded

    def decide(self, call: RevealRedactions, step: Step, loaded: _Loaded) -> Answer:
        room = step.room(call.room_id) if loaded.waiting else None
        if room is None or not room.server_joined(self._preparing.server_name):
            step.row(tables.JOB_DELETE, call.job_id)
            return Answer(pos=step.pos)
        come = [one for one in loaded.waiting if step.known_event(one.target_id) is not None]
        server_name = self._preparing.server_name
        shown = []
        for one in come:
            event_id = one.event.event_id
            if reveal(step, room, one, server_name, loaded.absent.get(event_id, [])):
                shown.append(event_id)
        if not come or len(loaded.waiting) < MAXIMUM_HELD:
            step.row(tables.JOB_DELETE, call.job_id)
        look_again(step, call.room_id, [one for one in shown if one in loaded.awaited])
        return Answer(pos=step.pos)
