"""Station: an event that came whole, from another server or signed by one, is judged and enters its room.

The checks that need no state were made by the worker. Here: by the event's auth events, by the state before it, by the
room's current state. Nothing waits: what is looked at was prepared (`Prepared`).
Spec: server-server-api.md#checks-performed-on-receipt-of-a-pdu, #rejection, #soft-failure.
"""

from collections.abc import Sequence

from hs_common.matrix.event import Event
from hs_common.matrix.policy_server import POLICY_KEY, policy_of
from hs_common.storage import room_forks
from hs_master import tables
from hs_master.rooms import references
from hs_master.rooms.append import Place, Source, append
from hs_master.rooms.head import RoomDraft
from hs_master.rooms.judging import (
    ACCEPTED,
    AuthEvents,
    Judgement,
    StateBefore,
    Status,
    judge_by_own_past,
    judge_by_present,
)
from hs_master.rooms.placing import Placement, basis_of
from hs_master.step import Step


def judge(room: RoomDraft, event: Event, auth: AuthEvents, placement: Placement | None) -> Judgement:
    """`placement` is None for an event that simply continues its room."""
    if placement is not None and placement.judgement is not None:
        judgement = placement.judgement
    else:
        before, current = ({}, {}) if placement is None else (placement.before, placement.current)
        judgement = judge_by_own_past(room, event, auth, before)
        if judgement.status == "accepted":
            judgement = judge_by_present(room, event, before, current)
    if judgement.status != "accepted":
        return judgement
    # 7. Is validated by the policy server, if the room uses one in its current state, otherwise it is soft failed.
    if not _is_recommended(room, event):
        return Judgement("soft_failed", "the room's policy server has not signed it")
    return ACCEPTED


def _is_recommended(room: RoomDraft, event: Event) -> bool:
    """Spec: #validating-policy-server-signatures."""
    setting = room.entry(POLICY_KEY)
    policy = None if setting is None else policy_of(setting.content)
    if policy is None or not room.server_joined(policy.server):
        return True
    return (event.is_state and event.key == POLICY_KEY) or policy.has_signed(event.pdu, room.version)


def place_of(step: Step, room: RoomDraft, event: Event, placement: Placement, pos: int) -> Place:
    """The place of an event that forks its room; writes its delta, named `pos`, if there is none yet."""
    assert placement.basis == basis_of(room), "the room has moved on since the event was placed"
    columns = placement.columns
    if columns is None:
        columns = room.state_pos, pos
        for (event_type, state_key), one in placement.before.items():
            step.row(tables.STATE_DELTA, pos, event_type, state_key, None if one is None else one.event_id)
    replaces = StateBefore(room, placement.before).get(event.key) if event.is_state else None
    return Place(columns[0], columns[1], placement.changes, replaces, placement.extremities)


def keep_aside(
    step: Step,
    room: RoomDraft,
    event: Event,
    encoded: bytes,
    status: Status,
    place: Place | None,
    absent: Sequence[str] = (),
) -> None:
    """A rejected or soft failed event: others may cite it, nobody is shown it. `absent`: what is missing before it, so
    that who builds on it has that gap before him, however many were kept aside in between."""
    step.pos += 1  # it has a position like any other event, though no item tells of it
    code = room_forks.REJECTED if status == "rejected" else room_forks.SOFT_FAILED
    step.row(tables.EVENT_RECEIVED, event.event_id, event.room_id, step.pos, code, None, None, encoded.decode())
    state_pos, delta_id = (room.state_pos, None) if place is None else (place.state_pos, place.delta_id)
    step.row(tables.EVENT_STATE, event.event_id, event.room_id, state_pos, delta_id, " ".join(absent), False)


def enter(
    step: Step,
    room: RoomDraft,
    event: Event,
    encoded: bytes,
    server_name: str,
    source: Source,
    place: Place | None,
    redacted_by: str | None,
) -> None:
    """An accepted event enters the timeline. `redacted_by`: the redaction of it that came first and counts."""
    if redacted_by is not None:
        event, encoded = references.redacted(event)
        source = Source(
            source.device_id,
            source.txn_id,
            is_received=True,
            introduced=source.introduced,
            redacted_by=redacted_by,
        )
    append(step, room, event, encoded, server_name, source, place)
