"""Station: an event enters its room. Writes its rows and its log item, and moves the room's draft on.

Whether the event may enter was decided before (`compose`); here nothing is refused. Nothing here is done per member.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from hs_common.matrix.auth_rules import CREATE_KEY, POWER_LEVELS_KEY, domain_of
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.power_levels import PowerLevels
from hs_common.matrix.push_conditions import EventFacts
from hs_common.matrix.push_rules import rule_bits
from hs_common.replication.items import EventItem, Relation, StateChange
from hs_common.storage.imports import IMPORTED
from hs_master import redaction_tables, tables
from hs_master.rooms import guest_access, references
from hs_master.rooms.head import RoomDraft
from hs_master.rooms.interest import count_member, count_room, find_interested
from hs_master.rooms.membership import MembershipChanges, change_membership
from hs_master.rooms.search import write_search
from hs_master.step import KnownEvent, Step
from hs_master.user_directory import list_user

_NOT_IN_THE_ROOM: Final = ("invite", "knock", "ban")


class Source:
    """Where an event came from: a user's device, or another server. `introduced`: this server brings it into the room.

    `is_received`: it came whole, so it may be here already as an event without state. `redacted_by`: the redaction that
    came before it. `is_silent`: nobody is notified of it. `is_imported`: it is outside the event graph. `is_late`: a
    redaction that waited for what it redacts; the room has gone on without it.
    """

    __slots__ = (
        "device_id",
        "introduced",
        "is_imported",
        "is_late",
        "is_received",
        "is_silent",
        "redacted_by",
        "txn_id",
    )

    def __init__(
        self,
        device_id: str | None = None,
        txn_id: str | None = None,
        *,
        is_received: bool = False,
        introduced: bool = True,
        redacted_by: str | None = None,
        is_silent: bool = False,
        is_imported: bool = False,
        is_late: bool = False,
    ) -> None:
        self.device_id = device_id
        self.txn_id = txn_id
        self.is_received = is_received
        self.introduced = introduced
        self.redacted_by = redacted_by
        self.is_silent = is_silent
        self.is_imported = is_imported
        self.is_late = is_late


class Place(NamedTuple):
    """Where an event stands: the state before it as rows tell it, and what it makes of the room."""

    state_pos: int
    delta_id: int | None
    changes: Mapping[StateKey, Event | None]
    """How the room's current state changes: more or less than the event itself, where the event graph forks."""
    replaces: Event | None
    """The state event before it at its place."""
    extremities: tuple[str, ...]


def continuing(room: RoomDraft, event: Event) -> Place:
    """The place of an event that cites all that is newest in its room: the usual one."""
    changes: dict[StateKey, Event | None] = {event.key: event} if event.is_state else {}
    replaces = room.entry(event.key) if event.is_state else None
    return Place(room.state_pos, None, changes, replaces, (event.event_id,))


def append(
    step: Step,
    room: RoomDraft,
    event: Event,
    encoded: bytes,
    server_name: str,
    source: Source,
    place: Place | None = None,
) -> None:
    """Make an authorised event the newest of its room; `place` is given where it does not simply continue it."""
    if place is None:
        place = continuing(room, event)
    pos = step.next_pos()
    bits = 0 if source.is_silent else _rule_bits(room, event)
    guests_may_have_to_leave = guest_access.may_be_ended_by(step, room, event)
    services = find_interested(step, room, event, pos)
    members = MembershipChanges()
    others_before = room.joined - room.server_joined(server_name)
    target = _target_elsewhere(room, event, server_name)
    changes = [_change_state(step, room, key, new, server_name, pos, members) for key, new in place.changes.items()]
    if event.is_state and event.key == CREATE_KEY:
        count_room(step, room, pos)
    redacted = references.apply_redaction(step, room, event, server_name, is_judged=source.is_late)
    relation = references.relation_of(event.content) if not event.is_state else None
    root = references.thread_root(step, relation)
    references.write_relation(step, event, relation, pos)
    mentions = [] if source.is_silent else references.write_mentions(step, room, event, server_name, pos)
    write_search(step, event, pos)
    _write(step, event, encoded, place, pos, bits, root, source)
    if not source.is_late:
        _advance(step, room, event, place)
    goes_out = source.introduced and bool(others_before or room.joined - room.server_joined(server_name) or target)
    if goes_out:
        step.row(tables.OUTGOING_EVENT, event.room_id, pos, event.event_id, target)
    step.events[event.event_id] = KnownEvent(event, pos, 0, root, redacted=source.redacted_by is not None)
    item = _item(event, encoded, place, pos, bits, root, mentions, changes, members, redacted, relation, source)
    if services or goes_out:
        item = msgspec.structs.replace(item, services=services, introduced=goes_out)
    step.item(item)
    if guests_may_have_to_leave:
        guest_access.end(step, room)


def _target_elsewhere(room: RoomDraft, event: Event, server_name: str) -> str | None:
    """The server of a user that the event is about, who was not in the room: it would not hear of it otherwise."""
    if event.type != "m.room.member" or event.state_key is None or event.state_key.endswith(":" + server_name):
        return None
    before = room.entry(event.key)
    return domain_of(event.state_key) if before is not None and before.membership in _NOT_IN_THE_ROOM else None


def _change_state(
    step: Step,
    room: RoomDraft,
    key: StateKey,
    new: Event | None,
    server_name: str,
    pos: int,
    members: MembershipChanges,
) -> StateChange:
    old = room.entry(key)
    event_type, state_key = key
    old_membership = new_membership = None
    if event_type == "m.room.member":
        old_membership = old.membership if old is not None else None
        new_membership = new.membership if new is not None else None
        change_membership(step, room, state_key, old, new, server_name, pos, members)
        count_member(step, room, state_key, old_membership, new_membership, pos)
        if new is not None and new_membership == "join" and not state_key.endswith(":" + server_name):
            list_user(step, state_key, new.content.get("displayname"), new.content.get("avatar_url"))
    room.changed[key] = new
    room.state_pos = pos
    values = None if new is None else (new.event_id, new_membership)
    step.interval(tables.STATE, (room.room_id, *key), values, pos, existed=old is not None)
    return StateChange(
        event_type,
        state_key,
        old.event_id if old else None,
        new.event_id if new else None,
        old_membership,
        new_membership,
    )


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
    place: Place,
    pos: int,
    bits: int,
    root: str | None,
    source: Source,
) -> None:
    _write_event(step, event, encoded, place, pos, source)
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
        place.state_pos,
        place.delta_id,
        source.device_id,
        source.txn_id,
    )


def _write_event(step: Step, event: Event, encoded: bytes, place: Place, pos: int, source: Source) -> None:
    if source.is_late:  # it has been here all the time
        step.row(redaction_tables.REVEAL, event.event_id)
        return
    replaces = place.replaces.event_id if place.replaces else None
    write = tables.EVENT_RECEIVED if source.is_received else tables.EVENT
    status = IMPORTED if source.is_imported else 0
    step.row(write, event.event_id, event.room_id, pos, status, replaces, source.redacted_by, encoded.decode())


def _advance(step: Step, room: RoomDraft, event: Event, place: Place) -> None:
    was_forked = len(room.extremities) > 1
    room.extremities = place.extremities
    if len(place.extremities) == 1:
        room.depth = event.depth
        if was_forked:
            step.upsert(tables.FORK, (room.room_id,), room.room_id, "", 0)
    else:
        room.depth = max(room.depth, event.depth)
        step.upsert(tables.FORK, (room.room_id,), room.room_id, " ".join(place.extremities), room.depth)


def _item(
    event: Event,
    encoded: bytes,
    place: Place,
    pos: int,
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
        state_pos=place.state_pos,
        replaces_state=place.replaces.event_id if place.replaces else None,
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
        redacted_by=source.redacted_by,
    )
