"""Station: what an event says about other events: relations, threads, mentions, redactions.

Spec: client-server-api/_index.md#forming-relationships-between-events, modules/threading.md, rooms/v12.md#redactions.
"""

from collections.abc import Mapping

from hs_common.matrix import canonical_json
from hs_common.matrix.auth_rules import CREATE_KEY, POWER_LEVELS_KEY
from hs_common.matrix.errors import MatrixError, forbidden, not_found
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.identifiers import domain_of
from hs_common.matrix.mentions import parse_mentions
from hs_common.matrix.power_levels import PowerLevels
from hs_common.matrix.redaction import redact
from hs_common.matrix.relations import ANNOTATION, THREAD, parse_relation
from hs_common.replication.calls import Intent
from hs_common.replication.items import Relation
from hs_master import found_tables, redaction_tables, tables
from hs_master.rooms.head import RoomDraft
from hs_master.step import Annotation, KnownEvent, Step


def relation_of(content: object) -> Relation | None:
    """The relation that an event's content declares, if it is well-formed."""
    declared = parse_relation(content) if isinstance(content, dict) else None
    if declared is None:
        return None
    return Relation(declared.event_id, declared.rel_type, declared.key if declared.rel_type == ANNOTATION else None)


def annotation_of(intent: Intent) -> Annotation | None:
    """What must be unique if the intent is an annotation."""
    relation = relation_of(intent.content)
    if relation is None or relation.rel_type != ANNOTATION or relation.key is None:
        return None
    return (relation.parent_id, intent.sender, intent.type, relation.key)


def check_relation(step: Step, intent: Intent) -> None:
    """Refuse a second equal annotation and a thread on something that is itself related.

    Raises MatrixError: M_DUPLICATE_ANNOTATION, M_UNKNOWN (400), as the specification has it for these.
    """
    annotation = annotation_of(intent)
    if annotation is not None and step.annotation(annotation) is not None:
        raise MatrixError(400, "M_DUPLICATE_ANNOTATION", "You have annotated this event so already")
    relation = relation_of(intent.content)
    if relation is not None and relation.rel_type == THREAD:
        parent = step.known_event(relation.parent_id)
        if parent is not None and relation_of(parent.event.content) is not None:
            raise MatrixError(400, "M_UNKNOWN", "A thread cannot start from an event that has a relation itself")


def thread_root(step: Step, relation: Relation | None) -> str | None:
    """The thread that an event with this relation belongs to; None: the main timeline."""
    if relation is None:
        return None
    if relation.rel_type == THREAD:
        return relation.parent_id
    parent = step.known_event(relation.parent_id)
    return None if parent is None else parent.thread_root


def write_relation(step: Step, event: Event, relation: Relation | None, pos: int, sub: int = 0) -> None:
    if relation is None:
        return
    step.row(
        tables.RELATION,
        event.event_id,
        event.room_id,
        relation.parent_id,
        relation.rel_type,
        event.sender,
        event.type,
        relation.key,
        pos,
        sub,
    )
    if relation.key is not None:
        step.annotations[relation.parent_id, event.sender, event.type, relation.key] = event.event_id


def local_mentions(content: object, server_name: str) -> list[str]:
    """The local users named in m.mentions."""
    if not isinstance(content, dict) or "m.mentions" not in content:
        return []
    suffix = ":" + server_name
    return [user_id for user_id in parse_mentions(content).user_ids if user_id.endswith(suffix)]


def write_mentions(step: Step, room: RoomDraft, event: Event, server_name: str, pos: int) -> list[str]:
    """Rows for the joined local users whom the event mentions; returns them."""
    mentioned = []
    for user_id in local_mentions(event.content, server_name):
        member = room.entry(("m.room.member", user_id))
        if user_id != event.sender and member is not None and member.membership == "join":
            mentioned.append(user_id)
            step.row(tables.MENTION, user_id, event.room_id, pos, 0, event.event_id)
    return mentioned


def check_redaction(step: Step, intent: Intent, room: RoomDraft) -> None:
    """Refuse to redact what is not there, or what the sender has no right to redact.

    Raises MatrixError: M_NOT_FOUND, M_FORBIDDEN.
    """
    if intent.type != "m.room.redaction":
        return
    if intent.state_key is not None:
        # It would name its target inside the content, past the check below.
        raise forbidden("A redaction cannot be a state event")
    if intent.redacts is None:
        return
    target = step.known_event(intent.redacts)
    if target is None or target.event.room_id != intent.room_id:
        raise not_found("The event to redact is not in this room")
    if not may_redact(room, intent.sender, target.event):
        raise forbidden("You may redact your own events only")


def may_redact(room: RoomDraft, sender: str, target: Event) -> bool:
    """Whether one of our users may redact an event: his own, or with the power to."""
    return target.sender == sender or _has_redact_level(room, sender)


def takes_effect(room: RoomDraft, sender: str, target: Event) -> bool:
    """Whether a redaction by the sender counts for an event: also by others of its sender's server, which it is up to
    whom of them it lets do it. Spec: rooms/v3.md#handling-redactions."""
    return is_of_same_server(sender, target) or _has_redact_level(room, sender)


def is_of_same_server(sender: str, target: Event) -> bool:
    """Whether an event is of the server whose user redacts it."""
    return domain_of(target.sender) == domain_of(sender)


def counts(redaction: Event, by_power: bool, target: Event) -> bool:
    """Whether a redaction takes effect, by a sender of whom it is known whether he may redact everybody's events."""
    is_of_room = redaction.room_id == target.room_id
    return is_of_room and (by_power or is_of_same_server(redaction.sender, target))


def has_power(room: RoomDraft, before: Mapping[StateKey, Event], sender: str) -> bool:
    """Whether a sender may redact the events of everybody: by the state before his redaction, and still."""
    return is_redact_level(before.get(CREATE_KEY), before.get(POWER_LEVELS_KEY), sender) and _has_redact_level(
        room, sender
    )


def waits(step: Step, event: Event) -> bool:
    """Whether this is a redaction of what is not here, so that nobody can say yet whether it counts."""
    return event.redacts is not None and not event.is_state and step.known_event(event.redacts) is None


def is_vain(step: Step, room: RoomDraft, event: Event) -> bool:
    """Whether this is a redaction that others sent without the right to it: clients would take it at its word if they
    were shown it. Spec: rooms/v3.md#handling-redactions."""
    target = None if event.redacts is None or event.is_state else step.known_event(event.redacts)
    if target is None:
        return False
    return target.event.room_id != event.room_id or not takes_effect(room, event.sender, target.event)


def _has_redact_level(room: RoomDraft, sender: str) -> bool:
    return is_redact_level(room.entry(CREATE_KEY), room.entry(POWER_LEVELS_KEY), sender)


def is_redact_level(create: Event | None, power_levels: Event | None, sender: str) -> bool:
    """Whether a sender may redact the events of everybody, in a state with these; without a create event nobody may."""
    if create is None:
        return False
    levels = PowerLevels(create, power_levels)
    return levels.user_level(sender) >= levels.redact


def redacted(event: Event) -> tuple[Event, bytes]:
    """The event as it is kept after its redaction, and its JSON. What it says is read anew from what is left of it: a
    redaction that was redacted itself names nothing any more, where its room's version strips it of that."""
    pdu = redact(dict(event.pdu), event.room_version)
    return Event.from_pdu(pdu, event.room_version, event.event_id), canonical_json.encode(pdu)


def apply_redaction(
    step: Step, room: RoomDraft, event: Event, server_name: str, *, is_judged: bool = False
) -> list[str]:
    """Strip the target of a redaction event of its content wherever it stands; returns the ids redacted.

    The authorisation rules let everybody send redactions (from version 3 on), so the right is looked at here, whichever
    way the event came, unless that was done (`is_judged`). Spec: rooms/v3.md#handling-redactions.
    """
    target = None if event.redacts is None else step.known_event(event.redacts)
    if target is None or target.redacted or target.event.room_id != event.room_id:
        return []
    may = may_redact if domain_of(event.sender) == server_name else takes_effect
    if not is_judged and not may(room, event.sender, target.event):
        return []
    stripped, encoded = redacted(target.event)
    event_id = stripped.event_id
    step.row(redaction_tables.REDACT, event_id, encoded.decode(), event.event_id)
    for write in (
        redaction_tables.REDACT_RULE_BITS,
        redaction_tables.REDACT_RELATION,
        redaction_tables.REDACT_MENTION,
        found_tables.REDACT_SEARCH,
    ):
        step.row(write, event_id)
    relation = relation_of(target.event.content)
    if relation is not None and relation.key is not None:
        step.annotations[relation.parent_id, stripped.sender, stripped.type, relation.key] = None
    step.events[event_id] = KnownEvent(stripped, target.order_pos, target.order_sub, target.thread_root, redacted=True)
    if stripped.is_state:
        current = room.entry(stripped.key)
        if current is not None and current.event_id == event_id:
            room.changed[stripped.key] = stripped
    return [event_id]
