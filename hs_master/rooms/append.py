"""Station: an event enters its room. Writes its rows and its log item, and moves the room's draft on.

Whether the event may enter was decided before (`compose`); here nothing is refused. Nothing here is done per member.
"""

from typing import Any

import msgspec

from hs_common.matrix.auth_rules import CREATE_KEY, POWER_LEVELS_KEY
from hs_common.matrix.event import Event
from hs_common.matrix.power_levels import PowerLevels
from hs_common.matrix.push_conditions import EventFacts
from hs_common.matrix.push_rules import rule_bits
from hs_common.replication.items import EventItem, Relation, StateChange
from hs_master import tables
from hs_master.rooms import guest_access, references
from hs_master.rooms.head import RoomDraft
from hs_master.rooms.interest import find_interested
from hs_master.rooms.membership import MembershipChanges, change_membership
from hs_master.step import KnownEvent, Step


class Source:
    """Where an event came from, for the sender's own device."""

    __slots__ = ("device_id", "txn_id")

    def __init__(self, device_id: str | None = None, txn_id: str | None = None) -> None:
        self.device_id = device_id
        self.txn_id = txn_id


def append(step: Step, room: RoomDraft, event: Event, encoded: bytes, server_name: str, source: Source) -> None:
    """Make an authorised event the newest of its room."""
    pos = step.next_pos()
    bits = _rule_bits(room, event)
    state_pos = room.state_pos
    old = room.entry(event.key) if event.is_state else None
    guests_may_have_to_leave = guest_access.may_be_ended_by(step, room, event)
    changes = _change_state(step, room, event, old, pos)
    members = MembershipChanges()
    if event.type == "m.room.member" and event.is_state:
        members = change_membership(step, room, event, old.membership if old else None, server_name, pos)
    redacted = references.apply_redaction(step, room, event)
    relation = references.relation_of(event.content) if not event.is_state else None
    root = references.thread_root(step, relation)
    references.write_relation(step, event, relation, pos)
    mentions = references.write_mentions(step, room, event, server_name, pos)
    services = find_interested(step, room, event, old, pos)
    _write(step, event, encoded, old, pos, state_pos, bits, root, source)
    _advance(step, room, event)
    step.events[event.event_id] = KnownEvent(event, pos, 0, root)
    item = _item(
        event, encoded, old, pos, state_pos, bits, root, mentions, changes, members, redacted, relation, source
    )
    step.item(msgspec.structs.replace(item, services=services) if services else item)
    if guests_may_have_to_leave:
        guest_access.end(step, room)


def _change_state(step: Step, room: RoomDraft, event: Event, old: Event | None, pos: int) -> list[StateChange]:
    if event.state_key is None:
        return []
    is_member = event.type == "m.room.member"
    membership = event.membership if is_member else None
    room.changed[event.key] = event
    room.state_pos = pos
    key = (room.room_id, event.type, event.state_key)
    step.interval(tables.STATE, key, (event.event_id, membership), pos, existed=old is not None)
    return [
        StateChange(
            event.type,
            event.state_key,
            old.event_id if old else None,
            event.event_id,
            old.membership if old and is_member else None,
            membership,
        )
    ]


def _rule_bits(room: RoomDraft, event: Event) -> int:
    """Judged with the room as it was before the event."""
    create, levels = room.entry(CREATE_KEY), room.entry(POWER_LEVELS_KEY)
    if create is None:
        return 0  # the create event itself: nobody is there to be notified
    notifications = levels.content.get("notifications") if levels is not None else None
    facts = EventFacts(
        event=_as_clients_see(event),
        room_member_count=room.joined,
        sender_power_level=PowerLevels(create, levels).user_level(event.sender),
        notification_levels=notifications if isinstance(notifications, dict) else {},
    )
    return rule_bits(facts)


def _as_clients_see(event: Event) -> dict[str, Any]:
    seen: dict[str, Any] = {
        "type": event.type,
        "sender": event.sender,
        "room_id": event.room_id,
        "event_id": event.event_id,
        "content": event.content,
    }
    if event.state_key is not None:
        seen["state_key"] = event.state_key
    return seen


def _write(
    step: Step,
    event: Event,
    encoded: bytes,
    old: Event | None,
    pos: int,
    state_pos: int,
    bits: int,
    root: str | None,
    source: Source,
) -> None:
    replaces = old.event_id if old else None
    step.row(tables.EVENT, event.event_id, event.room_id, pos, 0, replaces, None, encoded.decode())
    step.row(
        tables.TIMELINE,
        event.room_id,
        pos,
        0,
        event.event_id,
        event.sender,
        event.type,
        event.state_key,
        event.origin_server_ts,
        root,
        bits,
        state_pos,
        None,
        source.device_id,
        source.txn_id,
    )


def _advance(step: Step, room: RoomDraft, event: Event) -> None:
    if len(room.extremities) > 1:
        step.row(tables.FORK_END, room.room_id)
    room.extremities = (event.event_id,)
    room.depth = event.depth


def _item(
    event: Event,
    encoded: bytes,
    old: Event | None,
    pos: int,
    state_pos: int,
    bits: int,
    root: str | None,
    mentions: list[str],
    changes: list[StateChange],
    members: MembershipChanges,
    redacted: list[str],
    relation: Relation | None,
    source: Source,
) -> EventItem:
    return EventItem(
        room_id=event.room_id,
        event_id=event.event_id,
        room_version=event.room_version.identifier,
        json=encoded,
        sender=event.sender,
        type=event.type,
        state_key=event.state_key,
        order_pos=pos,
        order_sub=0,
        origin_server_ts=event.origin_server_ts,
        state_pos=state_pos,
        replaces_state=old.event_id if old else None,
        thread_root=root,
        rule_bits=bits,
        mentions=mentions,
        changes=changes,
        memberships=members.local,
        servers_joined=members.servers_joined,
        servers_left=members.servers_left,
        redacted=redacted,
        relation=relation,
        device_id=source.device_id,
        txn_id=source.txn_id,
    )
