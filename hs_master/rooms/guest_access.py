"""Whether guests may be in a room, and that they must leave when they may no longer.

Spec: client-server-api/modules/guest_access.md.
"""

from typing import Final

from hs_common.matrix.event import Event, StateKey
from hs_master.jobs.kinds import GuestsJob, write_job
from hs_master.rooms.head import RoomDraft
from hs_master.step import Step

GUEST_ACCESS: Final[StateKey] = ("m.room.guest_access", "")


def may_be_ended_by(step: Step, room: RoomDraft, event: Event) -> bool:
    """Whether guests may be in the room now, and the event is one that may change that: new state, or a redaction."""
    target: Event | None = event
    if event.redacts is not None:
        known = step.known_event(event.redacts)
        target = None if known is None else known.event
    return target is not None and target.is_state and target.key == GUEST_ACCESS and _guests_may_join(room)


def end(step: Step, room: RoomDraft) -> None:
    """After an event that `may_be_ended_by` spoke of: have the guests leave, if they may not be in the room now."""
    if not _guests_may_join(room):
        write_job(step, "", GuestsJob(room.room_id))


def _guests_may_join(room: RoomDraft) -> bool:
    event = room.entry(GUEST_ACCESS)
    return event is not None and event.content.get("guest_access") == "can_join"
