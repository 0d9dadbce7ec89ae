"""The first state of a room, from what its creator asked for. Pure.

Spec: client-server API, #post_matrixclientv3createroom; the numbered steps are those of its description.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hs_common.matrix.room_versions import RoomVersion
from hs_common.replication.calls import NewRoomEvent

Content = dict[str, Any]

PRIVATE: Final = "private_chat"
TRUSTED: Final = "trusted_private_chat"
PUBLIC: Final = "public_chat"

# (join_rule, guest_access); history_visibility is `shared` for all.
PRESETS: Final[Mapping[str, tuple[str, str]]] = {
    PRIVATE: ("invite", "can_join"),
    TRUSTED: ("invite", "can_join"),
    PUBLIC: ("public", "forbidden"),
}

ADMIN_LEVEL: Final = 100
ABOVE_ADMIN_LEVEL: Final = 150
"""For replacing the room where creators stand above all levels: "for example, set to 150 instead of 100"."""
MODERATOR_LEVEL: Final = 50
EVENT_LEVELS: Final[Mapping[str, int]] = {
    "m.room.name": MODERATOR_LEVEL,
    "m.room.avatar": MODERATOR_LEVEL,
    "m.room.canonical_alias": MODERATOR_LEVEL,
    "m.room.power_levels": ADMIN_LEVEL,
    "m.room.history_visibility": ADMIN_LEVEL,
    "m.room.server_acl": ADMIN_LEVEL,
    "m.room.encryption": ADMIN_LEVEL,
    "m.room.tombstone": ADMIN_LEVEL,
}


@dataclass(frozen=True, slots=True)
class NewRoom:
    """What a room is to be like. `profiles`: what stands in the member events of the creator and the invited."""

    creator: str
    version: RoomVersion
    preset: str
    profiles: Mapping[str, Content]
    creation_content: Content = field(default_factory=dict)
    alias: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: Sequence[str] = ()
    is_direct: bool = False
    initial_state: Sequence[NewRoomEvent] = ()
    power_level_override: Content = field(default_factory=dict)


def create_content(room: NewRoom) -> Content:
    """1. The content of m.room.create."""
    content = {key: value for key, value in room.creation_content.items() if key != "creator"}
    content["room_version"] = room.version.identifier
    if room.version.creator_in_content:
        content["creator"] = room.creator
    if room.version.privileged_creators and room.preset == TRUSTED and room.invite:
        given = content.get("additional_creators", [])
        # What is no list is refused by the authorisation rules.
        if isinstance(given, list):
            content["additional_creators"] = [
                user_id for user_id in dict.fromkeys([*given, *room.invite]) if user_id != room.creator
            ]
    return content


def state_events(room: NewRoom) -> list[NewRoomEvent]:
    """All events after the first, in the order that the specification gives."""
    given = {(event.type, event.state_key) for event in room.initial_state}
    named = _name_and_topic(room)
    overridden = {(event.type, event.state_key) for event in named}
    return [
        # 2. The creator's member event.
        state_event("m.room.member", {"membership": "join", **room.profiles[room.creator]}, room.creator),
        # 3. The power levels.
        state_event("m.room.power_levels", power_levels(room)),
        # 4. The canonical alias.
        *([] if room.alias is None else [state_event("m.room.canonical_alias", {"alias": room.alias})]),
        # 5. The preset's events, but for what is overridden by 6.
        *(event for event in _preset(room.preset) if (event.type, event.state_key) not in given),
        # 6. The initial state, but for what is overridden by 7.
        *(event for event in room.initial_state if (event.type, event.state_key) not in overridden),
        # 7. Name and topic.
        *named,
        # 8. The invites.
        *(_invite(room, user_id) for user_id in room.invite),
    ]


def power_levels(room: NewRoom) -> Content:
    """The default power levels with the creator's wishes on top."""
    privileged = room.version.privileged_creators
    trusted = room.invite if room.preset == TRUSTED else ()
    users = {} if privileged else dict.fromkeys([room.creator, *trusted], ADMIN_LEVEL)
    events = dict(EVENT_LEVELS)
    if privileged:
        events["m.room.tombstone"] = ABOVE_ADMIN_LEVEL
    return {
        "users": users,
        "users_default": 0,
        "events": events,
        "events_default": 0,
        "state_default": MODERATOR_LEVEL,
        "ban": MODERATOR_LEVEL,
        "kick": MODERATOR_LEVEL,
        "redact": MODERATOR_LEVEL,
        "invite": MODERATOR_LEVEL if room.preset == PUBLIC else 0,
        **room.power_level_override,
    }


def topic_content(topic: str) -> Content:
    """The content of m.room.topic for a plain text. Spec: #mroomtopic."""
    return {"topic": topic, "m.topic": {"m.text": [{"mimetype": "text/plain", "body": topic}]}}


def _preset(preset: str) -> list[NewRoomEvent]:
    join_rule, guest_access = PRESETS[preset]
    return [
        state_event("m.room.join_rules", {"join_rule": join_rule}),
        state_event("m.room.history_visibility", {"history_visibility": "shared"}),
        state_event("m.room.guest_access", {"guest_access": guest_access}),
    ]


def _name_and_topic(room: NewRoom) -> list[NewRoomEvent]:
    return [
        *([] if room.name is None else [state_event("m.room.name", {"name": room.name})]),
        *([] if room.topic is None else [state_event("m.room.topic", topic_content(room.topic))]),
    ]


def _invite(room: NewRoom, user_id: str) -> NewRoomEvent:
    content = {"membership": "invite", **room.profiles[user_id]}
    if room.is_direct:
        content["is_direct"] = True
    return state_event("m.room.member", content, user_id)


def state_event(event_type: str, content: Content, state_key: str = "") -> NewRoomEvent:
    """A state event of a new room."""
    return NewRoomEvent(type=event_type, state_key=state_key, content=content)
