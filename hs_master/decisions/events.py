"""Deciding on events of local users: append them, or compose them for others to sign and take them back.

Spec: server-server-api.md#pdus; client-server-api/_index.md#sending-events-to-a-room.
"""

from typing import Final

import msgspec

from hs_common.matrix import auth_rules
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.event import StateKey
from hs_common.matrix.stripped_state import STRIPPED_STATE_KEYS
from hs_common.replication.calls import (
    AppendedEvents,
    AppendEvents,
    ComposedEvent,
    ComposeEvent,
    Intent,
)
from hs_master.rooms import references
from hs_master.rooms.append import Source, append
from hs_master.rooms.compose import Composed, Composer
from hs_master.rooms.head import RoomDraft
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step

# Events that one call may append; more must come in several calls, so that others get their turn.
MAXIMUM_INTENTS: Final = 200


def needs_of(intent: Intent, knowledge: Knowledge, server_name: str) -> Needs | None:
    """What deciding on an intent looks at; None when its room is not known here."""
    head = knowledge.heads.get(intent.room_id)
    if head is None:
        return None
    keys: list[StateKey] = [auth_rules.CREATE_KEY, auth_rules.POWER_LEVELS_KEY]
    keys += auth_rules.auth_state_keys(head.version, intent.type, intent.sender, intent.state_key, intent.content)
    if intent.state_key is not None:
        keys.append((intent.type, intent.state_key))
        if intent.type == "m.room.member" and intent.content.get("membership") in ("invite", "knock"):
            keys += STRIPPED_STATE_KEYS
    keys += (("m.room.member", user_id) for user_id in references.local_mentions(intent.content, server_name))
    relation = references.relation_of(intent.content)
    events = [] if relation is None else [relation.parent_id]
    if intent.redacts is not None:
        events.append(intent.redacts)
        target = knowledge.events.get(intent.redacts)
        if target is not None and target.event.is_state:
            keys.append(target.event.key)  # known once the event is: its redaction changes the room's state
    annotation = references.annotation_of(intent)
    profiles = [intent.state_key] if intent.with_profile and intent.state_key is not None else []
    return Needs(intent.room_id, keys, events, [] if annotation is None else [annotation], profiles)


class EventAppender:
    """Appends what intents become, one after the other, on a step. Used by whatever sends events."""

    def __init__(self, composer: Composer, server_name: str) -> None:
        self._composer = composer
        self.server_name = server_name

    def append_intent(self, step: Step, intent: Intent, source: Source | None = None) -> str:
        """The id of the event that the intent became, or of the current state event when nothing would change.

        Raises MatrixError: see `AppendEvents`.
        """
        room = step.room(intent.room_id)
        if room is None:
            raise not_found(f"This server does not know the room {intent.room_id}")
        intent = _completed(step, intent)
        unchanged = self._unchanged_state(room, intent)
        if unchanged is not None:
            return unchanged
        composed = self._compose(step, intent, room)
        if source is None:
            source = Source(intent.device_id, intent.txn_id)
        append(step, room, composed.event, composed.encoded, self.server_name, source)
        return composed.event.event_id

    def compose(self, step: Step, intent: Intent) -> ComposedEvent:
        """A signed event that is not appended; without one, the id of the state event that says the same already."""
        room = step.room(intent.room_id)
        if room is None:
            raise not_found(f"This server does not know the room {intent.room_id}")
        intent = _completed(step, intent)
        unchanged = self._unchanged_state(room, intent)
        if unchanged is not None:
            return ComposedEvent(pos=step.pos, event_id=unchanged, pdu=b"")
        composed = self._compose(step, intent, room)
        return ComposedEvent(pos=step.pos, event_id=composed.event.event_id, pdu=composed.encoded)

    def _compose(self, step: Step, intent: Intent, room: RoomDraft) -> Composed:
        """Authorised first: who may not speak in a room is told nothing of the events in it."""
        composed = self._composer.compose(intent, room, step.now_ms)
        references.check_relation(step, intent)
        references.check_redaction(step, intent, room)
        return composed

    def _unchanged_state(self, room: RoomDraft, intent: Intent) -> str | None:
        if intent.state_key is None:
            return None
        if intent.joins_here and not room.server_joined(self.server_name):
            raise not_found(f"This server is not in the room {intent.room_id}")
        current = room.entry((intent.type, intent.state_key))
        if current is None:
            return None
        if intent.joins_here and current.membership == "join":
            return current.event_id
        if current.sender != intent.sender or current.content != intent.content:
            return None
        if intent.type != "m.room.member" and not _is_joined(room, intent.sender):
            return None  # refused by the rules: who is out of the room learns nothing of what is in it
        return current.event_id


def _completed(step: Step, intent: Intent) -> Intent:
    """With the profile where it is wanted, as it is now: nobody changes it between here and the commit."""
    if not intent.with_profile or intent.state_key is None:
        return intent
    return msgspec.structs.replace(intent, content={**step.profile(intent.state_key), **intent.content})


def _is_joined(room: RoomDraft, user_id: str) -> bool:
    member = room.entry(("m.room.member", user_id))
    return member is not None and member.membership == "join"


class AppendEventsDecider:
    """Decides `AppendEvents`."""

    def __init__(self, appender: EventAppender) -> None:
        self._appender = appender

    def queue(self, call: AppendEvents) -> str:
        return call.intents[0].room_id if call.intents else ""

    def rooms(self, call: AppendEvents) -> list[str]:
        return [intent.room_id for intent in call.intents]

    def needs(self, call: AppendEvents, knowledge: Knowledge) -> list[Needs]:
        needs = (needs_of(intent, knowledge, self._appender.server_name) for intent in call.intents)
        return [need for need in needs if need is not None]

    def decide(self, call: AppendEvents, step: Step) -> AppendedEvents:
        if len(call.intents) > MAXIMUM_INTENTS:
            raise MatrixError(400, "M_TOO_LARGE", f"At most {MAXIMUM_INTENTS} events fit into one call")
        event_ids = [self._appender.append_intent(step, intent) for intent in call.intents]
        return AppendedEvents(pos=step.pos, event_ids=event_ids)


class ComposeEventDecider:
    """Decides `ComposeEvent`: nothing is appended, and nothing is kept."""

    def __init__(self, appender: EventAppender) -> None:
        self._appender = appender

    def queue(self, call: ComposeEvent) -> str:
        return call.intent.room_id

    def rooms(self, call: ComposeEvent) -> list[str]:
        return [call.intent.room_id]

    def needs(self, call: ComposeEvent, knowledge: Knowledge) -> list[Needs]:
        need = needs_of(call.intent, knowledge, self._appender.server_name)
        return [] if need is None else [need]

    def decide(self, call: ComposeEvent, step: Step) -> ComposedEvent:
        return self._appender.compose(step, call.intent)


def as_intent(room_id: str, sender: str, event_type: str, state_key: str, content: dict[str, object]) -> Intent:
    """A state event as an intent."""
    return Intent(room_id=room_id, sender=sender, type=event_type, content=content, state_key=state_key)
