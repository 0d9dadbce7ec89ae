"""What the content of m.room.join_rules says to somebody outside of the room. Pure; whether a join is authorised is
decided by the auth rules.

Spec: client-server API, #mroomjoin_rules, #restricted-rooms.
"""

from collections.abc import Mapping
from typing import Any

from hs_common.matrix.room_versions import RoomVersion


def is_restricted(join_rule: object, version: RoomVersion) -> bool:
    """Whether being in some other room lets a user in."""
    if join_rule == "restricted":
        return version.restricted_joins
    return join_rule == "knock_restricted" and version.knock_restricted_join_rule


def is_knockable(join_rule: object, version: RoomVersion) -> bool:
    """Whether anybody may knock."""
    if join_rule == "knock":
        return version.knocking
    return join_rule == "knock_restricted" and version.knock_restricted_join_rule


def allowed_rooms(content: Mapping[str, Any]) -> list[str]:
    """The rooms whose members are let in."""
    conditions = content.get("allow")
    if not isinstance(conditions, list):
        return []
    rooms = [
        condition.get("room_id")
        for condition in conditions
        if isinstance(condition, Mapping) and condition.get("type") == "m.room_membership"
    ]
    return [room_id for room_id in rooms if isinstance(room_id, str)]
