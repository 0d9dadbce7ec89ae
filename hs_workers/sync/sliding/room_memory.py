"""What ordering and filtering ask of rooms, kept in memory and up to the log: when something happened last, whether the
room is encrypted, what type it is.

So a user's thousands of rooms are ordered without a statement, after they were read once; and each thing is read only
of those rooms of which it is asked. What happens while rooms are being read counts as theirs. Bounded by rooms; those
that were asked for last stay.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import filterfalse
from typing import Any, Final

import orjson

from hs_common.bounded import Bounded
from hs_common.replication.items import EventItem
from hs_common.storage import sliding
from hs_common.storage.queries import Queries

MAXIMUM_ROOMS: Final = 100_000  # of each memory; some 200 bytes each
ENCRYPTION: Final = "m.room.encryption"


@dataclass(slots=True)
class Activity:
    """`last`: the position of the newest live event. `changed`: since when neither an event came nor the state changed;
    if that `is_exact`, it is where this happened last.
    """

    last: int
    changed: int
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What a room is. `type`: of its create event."""

    type: str | None
    is_encrypted: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What has to be known: the newest event of rooms; of those of them that were told up to a position, whether they
    changed since (`told`); the types of rooms, and whether they are encrypted."""

    active: Collection[str]
    told: Mapping[str, int] = field(default_factory=dict)
    types: Collection[str] = ()
    encrypted: Collection[str] = ()


async def read_activity(db: Queries, room_ids: Collection[str], upto: int) -> dict[str, Activity]:
    """The rooms' activity up to a position, not exact: when the state changed is asked of few of a user's rooms."""
    rows = await sliding.newest_events(db, list(room_ids), upto) if room_ids else ()
    return {room_id: Activity(last or 0, upto, is_exact=False) for room_id, last in rows}


async def read_changes(db: Queries, activity: Mapping[str, Activity], room_ids: Iterable[str], upto: int) -> None:
    """Makes the rooms' activity exact, as far as it is known."""
    wanted = [room_id for room_id in room_ids if room_id in activity]
    for room_id, changed in await sliding.newest_changes(db, wanted, upto) if wanted else ():
        one = activity.get(room_id)  # as it is by now
        if one is not None:
            one.changed, one.is_exact = max(one.last, changed or 0), True


async def read_types(db: Queries, room_ids: Collection[str]) -> dict[str, str | None]:
    """The rooms' types, which never change."""
    rows = await sliding.types(db, list(room_ids)) if room_ids else ()
    return {
        room_id: room_type or (None if json is None else _type(orjson.loads(json)["content"]))
        for room_id, room_type, json in rows
    }


async def read_encrypted(db: Queries, room_ids: Collection[str], upto: int) -> dict[str, bool]:
    """Whether the rooms are encrypted at a position."""
    return dict(await sliding.encrypted(db, list(room_ids), upto)) if room_ids else {}


def facts_of_stripped(stripped_state: str | None) -> Facts:
    """What is known of a room that the reader is only invited to."""
    room_type, is_encrypted = None, False
    for event in orjson.loads(stripped_state or "[]"):
        if event.get("type") == "m.room.create":
            room_type = _type(event.get("content"))
        elif event.get("type") == ENCRYPTION:
            is_encrypted = True
    return Facts(room_type, is_encrypted)


def _type(content: object) -> str | None:
    value = content.get("type") if isinstance(content, Mapping) else None
    return value if isinstance(value, str) else None


class RoomMemory:
    """Room → activity, type, encryption. What is asked for is there, or is named as missing and then read."""

    def __init__(self, db: Queries, maximum: int = MAXIMUM_ROOMS) -> None:
        self._db = db
        self._activity = Bounded[str, Activity](maximum)
        self._types = Bounded[str, str | None](maximum)
        self._encrypted = Bounded[str, bool](maximum)
        self._happened: list[dict[str, EventItem]] = []  # one for each reading that is under way

    @property
    def activity(self) -> Mapping[str, Activity]:
        """The activity of all rooms of which it is known. It goes on with the log."""
        return self._activity

    @property
    def types(self) -> Mapping[str, str | None]:
        """The types of all rooms of which they are known."""
        return self._types

    @property
    def encrypted(self) -> Mapping[str, bool]:
        """Which rooms are encrypted, of all of which it is known. It goes on with the log."""
        return self._encrypted

    async def read(self, asked: Asked, upto: int) -> bool:
        """Reads what is not known of what is asked, up to this process' position. Whether there was any."""
        unknown = list(filterfalse(self._activity.__contains__, asked.active))
        inexact = [room_id for room_id, told in asked.told.items() if self._is_in_doubt(room_id, told, upto)]
        untyped = list(filterfalse(self._types.__contains__, asked.types))
        vague = list(filterfalse(self._encrypted.__contains__, asked.encrypted))
        if not (unknown or inexact or untyped or vague):
            return False
        happened: dict[str, EventItem] = {}
        self._happened.append(happened)
        try:
            found = await read_activity(self._db, unknown, upto)
            found_types = await read_types(self._db, untyped)
            found_encrypted = await read_encrypted(self._db, vague, upto)
            # A change that comes meanwhile is an event, or the room is read while it is not known.
            known = {room_id: self._activity[room_id] for room_id in inexact if room_id in self._activity}
            await read_changes(self._db, {**known, **found}, inexact, upto)
        finally:
            was_valid = any(one is happened for one in self._happened)
            self._happened = [one for one in self._happened if one is not happened]
        if was_valid:  # else the log began anew
            self._activity.update(found)
            self._types.update(found_types)
            self._encrypted.update(found_encrypted)
            for item in happened.values():
                self._take(item)
        return True

    def _is_in_doubt(self, room_id: str, told: int, upto: int) -> bool:
        """Whether the room may have changed since it was told, and may not."""
        one = self._activity.get(room_id)
        return upto > told if one is None else not one.is_exact and one.last <= told < one.changed

    def apply(self, item: EventItem) -> None:
        """An event of the log, at its position."""
        for happened in self._happened:
            happened[item.event_id] = item
        self._take(item)

    def forget(self) -> None:
        """The log began anew."""
        for memory in self._memories():
            memory.clear()
        self._happened = []

    def forget_room(self, room_id: str) -> None:
        """The room was deleted; should somebody join it again, it is read anew."""
        for memory in self._memories():
            memory.pop(room_id, None)
        self._happened = []  # what is being read may be what is gone

    def _take(self, item: EventItem) -> None:
        activity = self._activity.get(item.room_id)
        if activity is not None and item.order_sub == 0:
            activity.last = max(activity.last, item.order_pos)
            activity.changed = max(activity.changed, item.order_pos)
        if item.room_id in self._encrypted:
            for change in item.changes:
                if (change.type, change.state_key) == (ENCRYPTION, ""):
                    self._encrypted[item.room_id] = change.new_event_id is not None

    def _memories(self) -> tuple[Bounded[str, Any], ...]:
        return self._activity, self._types, self._encrypted
