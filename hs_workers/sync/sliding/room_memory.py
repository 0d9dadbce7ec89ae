"""What ordering and filtering ask of rooms, kept in memory and up to the log: when something happened last, whether the
room is encrypted, what type it is.

So a user's thousands of rooms are ordered without a statement, after they were read once. What happens while rooms are
being read counts as theirs. Bounded by rooms; those that were asked for last stay.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from hs_common.replication.items import EventItem
from hs_common.storage import sliding
from hs_common.storage.queries import Queries

MAXIMUM_ROOMS: Final = 100_000  # of each memory; some 200 bytes each
ENCRYPTION: Final = "m.room.encryption"


@dataclass(slots=True)
class Activity:
    """`last`: the position of the newest live event. `changed`: of the last event, or change of the state."""

    last: int
    changed: int


@dataclass(slots=True)
class Facts:
    """What a room is. `type`: of its create event."""

    type: str | None
    is_encrypted: bool


async def read_activity(db: Queries, room_ids: Iterable[str], upto: int) -> dict[str, Activity]:
    """The rooms' activity up to a position."""
    rows = await sliding.activity(db, list(room_ids), upto)
    return {room_id: Activity(last or 0, max(last or 0, state or 0)) for room_id, last, state in rows}


async def read_facts(db: Queries, room_ids: Collection[str], upto: int) -> dict[str, Facts]:
    """What the rooms are at a position."""
    rows = await sliding.facts(db, list(room_ids), upto)
    return {
        room_id: Facts(room_type or (None if json is None else _type(orjson.loads(json)["content"])), is_encrypted)
        for room_id, room_type, json, is_encrypted in rows
    }


def facts_of_stripped(stripped_state: str | None) -> Facts:
    """What is known of a room that the reader is only invited to."""
    facts = Facts(None, False)
    for event in orjson.loads(stripped_state or "[]"):
        if event.get("type") == "m.room.create":
            facts.type = _type(event.get("content"))
        elif event.get("type") == ENCRYPTION:
            facts.is_encrypted = True
    return facts


def _type(content: object) -> str | None:
    value = content.get("type") if isinstance(content, Mapping) else None
    return value if isinstance(value, str) else None


class RoomMemory:
    """Room → activity and facts. What is asked for is there, or is named as missing and then read."""

    def __init__(self, db: Queries, maximum: int = MAXIMUM_ROOMS) -> None:
        self._db = db
        self._maximum = maximum
        self._activity: OrderedDict[str, Activity] = OrderedDict()
        self._facts: OrderedDict[str, Facts] = OrderedDict()
        self._happened: list[dict[str, EventItem]] = []  # one for each reading that is under way

    @property
    def activity(self) -> Mapping[str, Activity]:
        """The activity of all rooms of which it is known. It goes on with the log."""
        return self._activity

    @property
    def facts(self) -> Mapping[str, Facts]:
        """What rooms are, of all of which it is known."""
        return self._facts

    async def read(self, room_ids: Collection[str], upto: int, *, facts: bool) -> bool:
        """Reads what is not known of the rooms, up to this process' position. Whether there was any."""
        unknown = [room_id for room_id in room_ids if room_id not in self._activity]
        vague = [room_id for room_id in room_ids if room_id not in self._facts] if facts else []
        if not unknown and not vague:
            return False
        happened: dict[str, EventItem] = {}
        self._happened.append(happened)
        try:
            found = await read_activity(self._db, unknown, upto) if unknown else {}
            found_facts = await read_facts(self._db, vague, upto) if vague else {}
        finally:
            was_valid = any(one is happened for one in self._happened)
            self._happened = [one for one in self._happened if one is not happened]
        if was_valid:  # else the log began anew
            self._activity.update(found)
            self._facts.update(found_facts)
            for item in happened.values():
                self._take(item)
            self._trim()
        return True

    def apply(self, item: EventItem) -> None:
        """An event of the log, at its position."""
        for happened in self._happened:
            happened[item.event_id] = item
        self._take(item)

    def forget(self) -> None:
        """The log began anew."""
        self._activity.clear()
        self._facts.clear()
        self._happened = []

    def forget_room(self, room_id: str) -> None:
        """The room was deleted; should somebody join it again, it is read anew."""
        self._activity.pop(room_id, None)
        self._facts.pop(room_id, None)
        self._happened = []  # what is being read may be what is gone

    def _take(self, item: EventItem) -> None:
        activity, facts = self._activity.get(item.room_id), self._facts.get(item.room_id)
        if activity is not None and item.order_sub == 0:
            activity.last = max(activity.last, item.order_pos)
            activity.changed = max(activity.changed, item.order_pos)
        if facts is not None:
            for change in item.changes:
                if (change.type, change.state_key) == (ENCRYPTION, ""):
                    facts.is_encrypted = change.new_event_id is not None

    def _trim(self) -> None:
        for memory in (self._activity, self._facts):
            while len(memory) > self._maximum:
                memory.popitem(last=False)
