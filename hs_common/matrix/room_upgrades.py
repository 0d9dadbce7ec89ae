"""What a room passes on to the one that replaces it, and how it ends. Pure.

Spec: client-server API, #room-upgrades; rooms/v12, for creators.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.join_rules import is_knockable, is_restricted
from hs_common.matrix.power_levels import CREATOR_LEVEL, DEFAULT_LEVELS, PowerLevels, privileged_creators, read_level
from hs_common.matrix.room_versions import RoomVersion

Content = dict[str, Any]
State = Mapping[StateKey, Event]

CREATE: Final[StateKey] = ("m.room.create", "")
POWER_LEVELS: Final[StateKey] = ("m.room.power_levels", "")
JOIN_RULES: Final[StateKey] = ("m.room.join_rules", "")
CANONICAL_ALIAS: Final[StateKey] = ("m.room.canonical_alias", "")
TRANSFERABLE: Final[tuple[str, ...]] = (
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
)
"""The recommended state, each as it is. The power levels are fitted to the new version, and come last."""
CREATE_KEYS: Final = ("type", "m.federate")
"""What of the old create event's content holds for the new room too."""
MINIMUM_TO_SPEAK: Final = 50
"""The level that the old room asks of whoever speaks or invites, at least."""


def create_content(old: Event, version: RoomVersion, creator: str, additional_creators: Collection[str]) -> Content:
    """The content of the new room's create event but for `predecessor`."""
    content = {key: old.content[key] for key in CREATE_KEYS if key in old.content}
    content["room_version"] = version.identifier
    if version.creator_in_content:
        content["creator"] = creator
    others = [user_id for user_id in dict.fromkeys(additional_creators) if user_id != creator]
    if version.privileged_creators and others:
        content["additional_creators"] = others
    return content


def carried_state(state: State, version: RoomVersion) -> list[tuple[str, Content]]:
    """(type, content) of the state that goes on as it is; a join rule that the new version does not know invites."""
    found: dict[str, Content] = {key: dict(state[key, ""].content) for key in TRANSFERABLE if (key, "") in state}
    if JOIN_RULES[0] in found:
        found[JOIN_RULES[0]] = _fitting_rules(found[JOIN_RULES[0]], version)
    return list(found.items())


def carried_entry(event_type: str, content: Mapping[str, Any]) -> Content | None:
    """What becomes of a ban (which keeps its reason, and nothing of a profile) or of a child of a space."""
    if event_type == "m.room.member":
        reason = content.get("reason")
        return {"membership": "ban", **({"reason": reason} if isinstance(reason, str) else {})}
    return dict(content) if content.get("via") else None


def carried_power_levels(state: State, version: RoomVersion, creators: Collection[str]) -> Content:
    """The power levels of the new room, whose creators are given: in the form of its version."""
    create, old = state[CREATE], state.get(POWER_LEVELS)
    before = create.room_version
    content: Content = {} if old is None else _readable(old.content, before)
    users: dict[str, int] = content.setdefault("users", {})
    if version.privileged_creators:
        content["users"] = {user_id: level for user_id, level in users.items() if user_id not in creators}
        return content
    # Who stood above all numbers gets a number as high as any that the room asks for.
    highest = max([CREATOR_LEVEL, *_numbers(content)])
    for user_id in privileged_creators(create) if before.privileged_creators else ():
        users[user_id] = highest
    if old is None:
        users.update(dict.fromkeys(creators, CREATOR_LEVEL))
    return content


def closing_power_levels(state: State) -> Content | None:
    """Power levels by which few still speak in the old room; None if that is so already."""
    levels = PowerLevels(state[CREATE], state.get(POWER_LEVELS))
    minimum = max(MINIMUM_TO_SPEAK, levels.named("users_default") + 1)
    raised = {name: minimum for name in ("events_default", "invite") if levels.named(name) < minimum}
    old = state.get(POWER_LEVELS)
    if not raised or old is None:
        return None
    return {**old.content, **raised}


def split_aliases(state: State, moved: Collection[str]) -> tuple[Content | None, Content | None]:
    """The contents of m.room.canonical_alias in the new and in the old room, once the aliases are moved; None where
    there is nothing to say."""
    event = state.get(CANONICAL_ALIAS)
    if event is None:
        return None, None
    alias, others = event.content.get("alias"), event.content.get("alt_aliases")
    listed = others if isinstance(others, list) else []
    new = _canonical(alias if alias in moved else None, [other for other in listed if other in moved])
    old = _canonical(None if alias in moved else alias, [other for other in listed if other not in moved])
    return (new, old) if new else (None, None)


def _canonical(alias: object, others: list[Any]) -> Content:
    return {**({"alias": alias} if alias else {}), **({"alt_aliases": others} if others else {})}


def _fitting_rules(content: Content, version: RoomVersion) -> Content:
    join_rule = content.get("join_rule")
    known = join_rule in ("public", "invite", "private") or is_restricted(join_rule, version)
    if known or is_knockable(join_rule, version):
        return content
    return {"join_rule": "invite"}


def _readable(content: Mapping[str, Any], version: RoomVersion) -> Content:
    """The content with levels as numbers, as they were understood; what was not understood is dropped."""
    readable: Content = {}
    for name, value in content.items():
        if name in DEFAULT_LEVELS:
            level = read_level(value, version)
            if level is not None:
                readable[name] = level
        elif name in ("users", "events", "notifications"):
            entries = value.items() if isinstance(value, Mapping) else ()
            levels = {key: read_level(entry, version) for key, entry in entries}
            readable[name] = {key: level for key, level in levels.items() if level is not None}
        else:
            readable[name] = value
    return readable


def _numbers(content: Content) -> list[int]:
    named = [content[name] for name in DEFAULT_LEVELS if name in content]
    return [*named, *content.get("users", {}).values(), *content.get("events", {}).values()]
