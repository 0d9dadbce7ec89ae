"""Filters: which events, rooms and fields a client wants.

`parse_filter` reads the filter of /sync, `parse_room_event_filter` that of /messages, /context and /search. Both refuse
what the schema forbids: M_BAD_JSON for a wrong JSON type, M_INVALID_PARAM for a value of the right type that is not
allowed. Unknown keys are ignored. What is parsed is immutable and compiled, to be kept and asked for each event.

Spec: client-server API, #filtering, #post_matrixclientv3useruseridfilter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hs_common.matrix import property_paths
from hs_common.matrix.errors import bad_json, invalid_param
from hs_common.matrix.event_fields import ALL_FIELDS, EventFields
from hs_common.matrix.filter_lists import EVERY_NAME, EVERY_TYPE, MAX_LIST_ENTRIES, Selection, TypeSelection

# Events of a timeline if the filter does not say; few, as a client pages back when the user looks.
DEFAULT_LIMIT = 10
# "Servers should impose a maximum value to avoid resource exhaustion": events are up to 64 KiB each.
MAX_LIMIT = 500

CLIENT_FORMAT = "client"
FEDERATION_FORMAT = "federation"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects by type and sender. Spec: EventFilter."""

    types: TypeSelection = EVERY_TYPE
    senders: Selection = EVERY_NAME
    limit: int | None = None

    def allows(self, event_type: str, sender: str | None) -> bool:
        """Whether an event passes. Without sender (account data), only a list of senders that are wanted excludes."""
        return self.types.allows(event_type) and self.senders.allows(sender)

    def bounded_limit(self, default: int = DEFAULT_LIMIT, maximum: int = MAX_LIMIT) -> int:
        """The number of events to answer at most."""
        return min(default if self.limit is None else self.limit, maximum)


@dataclass(frozen=True, slots=True)
class RoomEventFilter(EventFilter):
    """Selects also by room and content. Spec: RoomEventFilter."""

    rooms: Selection = EVERY_NAME
    contains_url: bool | None = None
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False

    def allows_event(self, event_type: str, sender: str | None, content: Mapping[str, Any]) -> bool:
        """Whether an event passes; its room is asked once for all its events, by `rooms.allows`."""
        return self.allows(event_type, sender) and self.contains_url in (None, "url" in content)


@dataclass(frozen=True, slots=True)
class RoomFilter:
    """The parts of a filter that are applied to rooms. Spec: RoomFilter."""

    rooms: Selection = EVERY_NAME
    include_leave: bool = False
    timeline: RoomEventFilter = RoomEventFilter()
    state: RoomEventFilter = RoomEventFilter()
    ephemeral: RoomEventFilter = RoomEventFilter()
    account_data: RoomEventFilter = RoomEventFilter()

    def allows_room(self, room_id: str) -> bool:
        """Whether anything of a room is wanted; the parts have lists of rooms of their own besides."""
        return self.rooms.allows(room_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """A whole filter. The default lets everything through."""

    room: RoomFilter = RoomFilter()
    presence: EventFilter = EventFilter()
    account_data: EventFilter = EventFilter()
    fields: EventFields = ALL_FIELDS
    event_format: str = CLIENT_FORMAT


EVERYTHING = Filter()


def parse_filter(json: object) -> Filter:
    """The filter that a client defined or gave inline. Raises M_BAD_JSON, M_INVALID_PARAM."""
    keys = _object(json, "The filter")
    event_format = keys.get("event_format", CLIENT_FORMAT)
    if not isinstance(event_format, str):
        raise bad_json("`event_format` must be a string")
    if event_format not in (CLIENT_FORMAT, FEDERATION_FORMAT):
        raise invalid_param("`event_format` must be `client` or `federation`")
    return Filter(
        room=_parse_room_filter(keys.get("room", {})),
        presence=_parse_event_filter(keys.get("presence", {}), "presence"),
        account_data=_parse_event_filter(keys.get("account_data", {}), "account_data"),
        fields=_parse_event_fields(keys),
        event_format=event_format,
    )


def parse_room_event_filter(json: object, name: str = "filter") -> RoomEventFilter:
    """A RoomEventFilter; `name` is where it stands, for the error. Raises M_BAD_JSON, M_INVALID_PARAM."""
    keys = _object(json, f"`{name}`")
    return RoomEventFilter(
        types=TypeSelection(_strings(keys, "types", name), _strings(keys, "not_types", name)),
        senders=_user_selection(keys, name),
        limit=_limit(keys, name),
        rooms=_room_selection(keys, name),
        contains_url=_boolean(keys, "contains_url", name),
        lazy_load_members=_boolean(keys, "lazy_load_members", name) is True,
        include_redundant_members=_boolean(keys, "include_redundant_members", name) is True,
        unread_thread_notifications=_boolean(keys, "unread_thread_notifications", name) is True,
    )


def _parse_room_filter(json: object) -> RoomFilter:
    keys = _object(json, "`room`")
    return RoomFilter(
        rooms=_room_selection(keys, "room"),
        include_leave=_boolean(keys, "include_leave", "room") is True,
        timeline=parse_room_event_filter(keys.get("timeline", {}), "room.timeline"),
        state=parse_room_event_filter(keys.get("state", {}), "room.state"),
        ephemeral=parse_room_event_filter(keys.get("ephemeral", {}), "room.ephemeral"),
        account_data=parse_room_event_filter(keys.get("account_data", {}), "room.account_data"),
    )


def _parse_event_filter(json: object, name: str) -> EventFilter:
    keys = _object(json, f"`{name}`")
    return EventFilter(
        types=TypeSelection(_strings(keys, "types", name), _strings(keys, "not_types", name)),
        senders=_user_selection(keys, name),
        limit=_limit(keys, name),
    )


def _parse_event_fields(keys: Mapping[str, Any]) -> EventFields:
    paths = _strings(keys, "event_fields", "filter")
    return ALL_FIELDS if paths is None else EventFields(property_paths.split(path) for path in paths)


def _object(json: object, name: str) -> Mapping[str, Any]:
    if not isinstance(json, dict):
        raise bad_json(f"{name} must be an object")
    return json


def _limit(keys: Mapping[str, Any], name: str) -> int | None:
    limit = keys.get("limit")
    if "limit" not in keys:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise bad_json(f"`{name}.limit` must be an integer")
    if limit <= 0:
        raise invalid_param(f"`{name}.limit` must be greater than 0")
    return limit


def _boolean(keys: Mapping[str, Any], key: str, name: str) -> bool | None:
    if key not in keys:
        return None
    value = keys[key]
    if not isinstance(value, bool):
        raise bad_json(f"`{name}.{key}` must be a boolean")
    return value


def _user_selection(keys: Mapping[str, Any], name: str) -> Selection:
    return _selection(keys, "senders", name, "a user id", lambda entry: entry.startswith("@") and ":" in entry)


def _room_selection(keys: Mapping[str, Any], name: str) -> Selection:
    return _selection(keys, "rooms", name, "a room id", lambda entry: entry.startswith("!"))


def _selection(keys: Mapping[str, Any], key: str, name: str, kind: str, is_kind: Callable[[str], bool]) -> Selection:
    wanted, unwanted = _strings(keys, key, name), _strings(keys, f"not_{key}", name)
    for entry in (*(wanted or ()), *(unwanted or ())):
        if not is_kind(entry):
            raise invalid_param(f"`{name}.{key}` and `not_{key}`: {entry!r} is not {kind}")
    return Selection(wanted, unwanted)


def _strings(keys: Mapping[str, Any], key: str, name: str) -> list[str] | None:
    if key not in keys:
        return None
    entries = keys[key]
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise bad_json(f"`{name}.{key}` must be an array of strings")
    if len(entries) > MAX_LIST_ENTRIES:
        raise invalid_param(f"`{name}.{key}` has more than {MAX_LIST_ENTRIES} entries")
    return entries
