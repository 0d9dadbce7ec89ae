"""Redactions that come before what they redact: they wait, and are shown once that is here and they count.

Spec: rooms/v3.md#handling-redactions. "They should not be sent to clients until both the redaction event and the event
the redaction affects have been received, and can be validated."

A redaction that waits is kept aside like a soft failed event: it is in the room's graph and other servers get it, but
it is in no timeline, so no client, service or count sees it. A row of `held_redactions` says what it waits for. Whether
its sender may redact the events of everybody is judged when it comes, by the state before it and by the room's current
state; only whether the target is of his own server remains to be seen. What is awaited enters redacted, if that counts;
and in the same transaction a job is noted, which gives each redaction that counts its place: as the newest of the
timeline, with an item of the log, or among history where one was kept for it. Who does not count stays aside. Whatever
way the target comes (live, as history, as mere state, with a join), the job alone shows redactions; it is noted as well
when a redaction begins to wait, as the target may have come while that was decided.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import RoomVersion
from hs_common.storage import room_forks
from hs_common.storage.queries import Row
from hs_master import redaction_tables, tables
from hs_master.jobs.kinds import RevealJob, write_job
from hs_master.rooms import references
from hs_master.rooms.append import Place, Source, append
from hs_master.rooms.head import RoomDraft
from hs_master.rooms.judging import Differences, StateBefore
from hs_master.rooms.receive import keep_aside
from hs_master.step import Step

MAXIMUM_HELD: Final = 50
"""Redactions of one event that are looked at when it comes; who has no right to redact it may send some too. Also those
that one slice of the job shows."""
MAXIMUM_TARGETS: Final = 500
"""That came with a room's state, of those that redactions of an earlier stay in the room wait for."""

Held = tuple[Event, bool | None]
"""A redaction that waits, and whether its sender has the power to redact everybody's events. None: judged before that
was noted, so by the room as it is."""


@dataclass(frozen=True, slots=True)
class WaitingRedaction:
    """One row with what is known of its event."""

    target_id: str
    event: Event
    encoded: bytes
    is_shown: bool
    """Since before redactions waited: it only has to take effect."""
    by_power: bool | None
    order: tuple[int, int] | None
    """The place that is kept for it among history."""
    state: tuple[int, int | None]
    absent: str

    @classmethod
    def of(cls, row: Row, version: RoomVersion) -> "WaitingRedaction":
        target_id, event_id, json, status, by_power, order_pos, order_sub, state_pos, delta_id, absent = row
        return cls(
            target_id,
            Event.from_pdu(orjson.loads(json), version, event_id),
            json.encode(),
            status == room_forks.ACCEPTED,
            by_power,
            None if order_pos is None else (order_pos, order_sub),
            (state_pos or 0, delta_id),
            absent or "",
        )


def wait(
    step: Step,
    room: RoomDraft,
    event: Event,
    encoded: bytes,
    place: Place | None,
    before: Differences,
    absent: list[str],
) -> None:
    """Keep a redaction that was accepted until what it redacts is here. `before`: the state before it."""
    keep_aside(step, room, event, encoded, "soft_failed", place, absent)
    power = references.has_power(room, StateBefore(room, before), event.sender)
    note(step, event, power, None)


def note(step: Step, event: Event, by_power: bool, order: tuple[int, int] | None) -> None:
    """The row of one that waits."""
    order_pos, order_sub = order or (None, None)
    held = redaction_tables.HELD_REDACTION
    step.row(held, event.redacts, event.event_id, event.room_id, by_power, order_pos, order_sub)


def counts(room: RoomDraft, event: Event, by_power: bool | None, target: Event) -> bool:
    """Whether a redaction that waited redacts what has come."""
    if by_power is None:
        return event.room_id == target.room_id and references.takes_effect(room, event.sender, target)
    return references.counts(event, by_power, target)


def redacted_by(room: RoomDraft, target: Event, held: Sequence[Held]) -> str | None:
    """Of the redactions that waited for an event, the first that counts."""
    return next((event.event_id for event, by_power in held if counts(room, event, by_power, target)), None)


def look_again(step: Step, room_id: str, target_ids: Iterable[str]) -> None:
    """Note that these are here, or are waited for from now on."""
    awaited = list(dict.fromkeys(target_ids))
    if awaited:
        step.pos += 1  # a job is named by a position, which no other job may have
        write_job(step, "", RevealJob(room_id, awaited))


def reveal(step: Step, room: RoomDraft, waiting: WaitingRedaction, server_name: str, absent: Sequence[str]) -> bool:
    """The target is here: the redaction takes effect and becomes the newest of the timeline, if it counts. Whether it
    is shown now and was not. `absent`: what is still missing before it."""
    event = waiting.event
    target = step.known_event(waiting.target_id)
    assert target is not None, "what a redaction waits for has come"
    step.row(redaction_tables.HELD_REDACTION_END, waiting.target_id, event.event_id)
    if not counts(room, event, waiting.by_power, target.event):
        return False
    if waiting.is_shown:
        references.apply_redaction(step, room, event, server_name, is_judged=True)
        return False
    if absent:
        step.row(tables.GAP, room.room_id, step.next_pos(), -1, " ".join(absent), 0, 0)
    source = Source(is_received=True, introduced=False, is_late=True)
    append(step, room, event, waiting.encoded, server_name, source, Place(*waiting.state, {}, None, room.extremities))
    return True


def reveal_in_history(step: Step, waiting: WaitingRedaction) -> None:
    """The target has come as history too: the redaction gets the place that was kept for it, and nobody is told."""
    event, order = waiting.event, waiting.order
    assert order is not None, "a place was kept"
    step.row(redaction_tables.HELD_REDACTION_END, waiting.target_id, event.event_id)
    step.row(redaction_tables.REVEAL, event.event_id)
    about = (event.event_id, event.sender, event.type, event.state_key, event.origin_server_ts)
    step.row(tables.TIMELINE, event.room_id, *order, *about, None, 0, *waiting.state, None, None)
