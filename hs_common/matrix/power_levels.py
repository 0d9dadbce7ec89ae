"""The levels of a room: who may do what, read from its create event and its m.room.power_levels event.

`PowerLevels` is a thin view. It reads a level when it is asked for one and copies nothing, so it costs the same for ten
users as for ten thousand and needs no cache. It never fails: a level that cannot be read counts as not given, because
whether a power levels event may stand is decided once, by the authorisation rules (`auth/power_levels_rules.py`).
Creators of a version 12 room stand above every number: their level is infinite.

Spec: client-server API, #mroompower_levels; rooms/v1, #event-format (strings and floats); rooms/v12,
#authorisation-rules.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import RoomVersion

# An integer, or INFINITE. Both compare with each other.
Level = int | float

INFINITE: Final[Level] = math.inf

# What holds where the power levels event says nothing, and in a room without one.
DEFAULT_LEVELS: Final[Mapping[str, int]] = {
    "users_default": 0,
    "events_default": 0,
    "state_default": 50,
    "ban": 50,
    "kick": 50,
    "redact": 50,
    "invite": 0,
}
# The level of the creator in a room without power levels event, before creators became privileged.
CREATOR_LEVEL: Final = 100

_INTEGER_TEXT = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
# The longest text read as a number. The spec allows any number of zeros; Python would refuse 4,300 digits and more.
_MAXIMUM_TEXT_LENGTH = 1000


def read_level(value: object, room_version: RoomVersion) -> int | None:
    """The level that a value in m.room.power_levels stands for in this room version; None if it stands for none."""
    if type(value) is int:
        return value
    if room_version.integer_power_levels:
        return None
    if isinstance(value, str) and len(value) <= _MAXIMUM_TEXT_LENGTH and _INTEGER_TEXT.fullmatch(value):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return int(value)
    return None


def creator(create: Event) -> str | None:
    """The user that created the room, as its version tells; None if a create event lacks its `creator`."""
    if not create.room_version.creator_in_content:
        return create.sender
    user_id = create.content.get("creator")
    return user_id if isinstance(user_id, str) else None


def privileged_creators(create: Event) -> frozenset[str]:
    """The users whose power is infinite: the sender and the additional creators. Empty before version 12."""
    if not create.room_version.privileged_creators:
        return frozenset()
    additional = create.content.get("additional_creators")
    if not isinstance(additional, list):
        return frozenset([create.sender])
    return frozenset([create.sender, *(user_id for user_id in additional if isinstance(user_id, str))])


def is_privileged_creator(create: Event, user_id: str) -> bool:
    """Whether the user is one of `privileged_creators`, in a room of a version that has them."""
    if user_id == create.sender:
        return True
    additional = create.content.get("additional_creators")
    return isinstance(additional, list) and user_id in additional


class PowerLevels:
    """The levels that a create event and a power levels event (None: the room has none) give."""

    __slots__ = ("_content", "_create", "_room_version")

    def __init__(self, create: Event, power_levels: Event | None) -> None:
        self._create = create
        self._content: Mapping[str, Any] | None = None if power_levels is None else power_levels.content
        self._room_version = create.room_version

    def user_level(self, user_id: str) -> Level:
        """The level of a user."""
        if self._room_version.privileged_creators and is_privileged_creator(self._create, user_id):
            return INFINITE
        if self._content is None:
            privileged = self._room_version.privileged_creators
            return CREATOR_LEVEL if user_id == creator(self._create) and not privileged else 0
        level = self._entry("users", user_id)
        return self.named("users_default") if level is None else level

    def event_level(self, event_type: str, *, is_state: bool) -> int:
        """The level that sending an event of this type requires. Memberships have their own rules."""
        level = self._entry("events", event_type)
        if level is None:
            return self.named("state_default" if is_state else "events_default")
        return level

    def named(self, name: str) -> int:
        """One of the levels that stand directly in the content (the keys of DEFAULT_LEVELS)."""
        level = None if self._content is None else read_level(self._content.get(name), self._room_version)
        return DEFAULT_LEVELS[name] if level is None else level

    @property
    def ban(self) -> int:
        """The level that banning and unbanning require."""
        return self.named("ban")

    @property
    def kick(self) -> int:
        """The level that kicking requires."""
        return self.named("kick")

    @property
    def invite(self) -> int:
        """The level that inviting requires."""
        return self.named("invite")

    @property
    def redact(self) -> int:
        """The level that redacting the events of others requires."""
        return self.named("redact")

    def _entry(self, table: str, key: str) -> int | None:
        entries = None if self._content is None else self._content.get(table)
        return read_level(entries.get(key), self._room_version) if isinstance(entries, dict) else None
