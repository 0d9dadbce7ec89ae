"""Rooms as another server describes them, in directories and hierarchies: what of it can be told on. Pure.

Spec: client-server API, #published-room-directory, #get_matrixclientv1roomsroomidhierarchy.
"""

from typing import Any, Final

from hs_common.matrix.identifiers import is_room_id

Json = dict[str, Any]

MAXIMUM_TEXT: Final = 20_000
"""Characters of a name or a topic; an event has no more."""
_TEXTS: Final = (
    *("name", "topic", "avatar_url", "canonical_alias", "room_type", "join_rule", "room_version", "encryption"),
    "im.nheko.summary.room_version",
)


def checked_room(value: object) -> Json | None:
    """The entry of a directory; None if it is not one."""
    if not isinstance(value, dict) or not is_room_id(value.get("room_id")):
        return None
    members = value.get("num_joined_members")
    room: Json = {
        "room_id": value["room_id"],
        "num_joined_members": members if type(members) is int and members >= 0 else 0,
        "world_readable": value.get("world_readable") is True,
        "guest_can_join": value.get("guest_can_join") is True,
    }
    for key in _TEXTS:
        text = value.get(key)
        if isinstance(text, str) and text:
            room[key] = text[:MAXIMUM_TEXT]
    return room


def checked_summary(value: object) -> Json | None:
    """The summary of a room, with `allowed_room_ids` and `children_state`; None if it is not one."""
    room = checked_room(value)
    if room is None or not isinstance(value, dict):
        return None
    allowed = value.get("allowed_room_ids")
    if isinstance(allowed, list):
        room["allowed_room_ids"] = [room_id for room_id in allowed if is_room_id(room_id)]
    children = value.get("children_state")
    room["children_state"] = [one for one in children if isinstance(one, dict)] if isinstance(children, list) else []
    return room
