"""Rule 10: may this m.room.power_levels event replace the one in the state?

Nobody gives more power than they have, or takes it from those who have as much.

Spec: rooms/v1 to v12, #authorisation-rules.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hs_common.matrix.auth.create_rules import is_user_id
from hs_common.matrix.auth.error import require
from hs_common.matrix.auth.room_state import CREATE_KEY, POWER_LEVELS_KEY, AuthState, power_levels_of
from hs_common.matrix.event import Event
from hs_common.matrix.power_levels import DEFAULT_LEVELS, Level, privileged_creators, read_level
from hs_common.matrix.room_versions import RoomVersion

# One level before and after; None where it is not given.
_Change = tuple[int | None, int | None]


def authorise_power_levels(event: Event, state: AuthState) -> None:
    """Return if a power levels event that its sender may send may say what it says, raise AuthError if not."""
    version = event.room_version
    new = event.content
    _check_content(new, version)
    # 4. If users contains the sender of the m.room.create event or any of the additional_creators, reject. (12)
    require(privileged_creators(state[CREATE_KEY]).isdisjoint(new.get("users", ())), "creators have no level to set")
    # 5. If there is no previous m.room.power_levels event in the room, allow.
    previous = state.get(POWER_LEVELS_KEY)
    if previous is None:
        return
    old = previous.content
    sender_level = power_levels_of(state).user_level(event.sender)
    # 6. For the properties users_default, events_default, state_default, ban, redact, kick, invite: if they were added,
    #    changed or removed, reject if the current or the new value is higher than the sender's level.
    for name, change in _changes(_named(old), _named(new), version):
        _check_both(name, change, sender_level)
    # 7. and 8. For each entry being added, changed or removed in events or notifications: likewise. (notifications: 6)
    for table in ("events", "notifications") if version.limit_notifications_power_levels else ("events",):
        for name, change in _changes(_table(old, table), _table(new, table), version):
            _check_both(name, change, sender_level)
    # 9. and 10. For each entry being added, changed or removed in users.
    for user_id, change in _changes(_table(old, "users"), _table(new, "users"), version):
        _check_user(user_id, change, sender_level, is_sender=user_id == event.sender)
    # 10. Otherwise, allow.


def _check_content(content: Mapping[str, Any], version: RoomVersion) -> None:
    # Before version 10 the specification says so of users only; a level that reads as no number would still have to
    # mean something to those who compare with it, so it is refused everywhere.
    # 1. If any of the properties users_default … invite in content are present and not an integer, reject. (10)
    for name, value in _named(content).items():
        require(read_level(value, version) is not None, f"{name} is not a level")
    # 2. If either of the properties events or notifications in content are present and not an object with values that
    #    are integers, reject. (10)
    for table in ("events", "notifications") if version.limit_notifications_power_levels else ("events",):
        require(_is_table(content.get(table, {}), version), f"{table} is not an object of levels")
    # 3. If the users property in content is not an object with keys that are valid user IDs with values that are
    #    integers, reject. One that is absent sets no level.
    users = content.get("users", {})
    require(_is_table(users, version) and all(map(is_user_id, users)), "users is not an object of levels of users")


def _is_table(table: object, version: RoomVersion) -> bool:
    return isinstance(table, dict) and all(read_level(value, version) is not None for value in table.values())


def _named(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content[name] for name in DEFAULT_LEVELS if name in content}


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = content.get(name)
    return table if isinstance(table, dict) else {}


def _changes(old: dict[str, Any], new: dict[str, Any], version: RoomVersion) -> Iterator[tuple[str, _Change]]:
    """The names whose level differs, with the level before and after."""
    # Entries that are equal as written are most of a big table and are dropped first; "50" and 50 are equal once read.
    # Not by a difference of items(): values of old events may be unhashable.
    for name in old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if before is after or before == after:
            continue
        change = (read_level(before, version), read_level(after, version))
        if change[0] != change[1]:
            yield name, change


def _check_both(name: str, change: _Change, sender_level: Level) -> None:
    before, after = change
    require(before is None or before <= sender_level, f"{name} is above the sender's level")
    require(after is None or after <= sender_level, f"{name} is set above the sender's level")


def _check_user(user_id: str, change: _Change, sender_level: Level, *, is_sender: bool) -> None:
    before, after = change
    # 9. For each entry being changed in, or removed from, the users property, other than the sender's own entry: if the
    #    current value is greater than or equal to the sender's current power level, reject.
    require(before is None or is_sender or before < sender_level, f"{user_id} has as much power as the sender")
    # 10. For each entry being added to, or changed in, the users property: if the new value is greater than the
    #     sender's current power level, reject.
    require(after is None or after <= sender_level, f"{user_id} is given more power than the sender has")
