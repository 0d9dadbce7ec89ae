"""The summaries of rooms: how many are in them, and by whom a room without a name is called.

Counting a large room is dear and the same for all its readers, who are all told of each change: so what was counted
after a change is kept until the next, and whoever comes while it is being counted waits for that. Bounded.

Spec: client-server API, #get_matrixclientv3sync (RoomSummary).
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import orjson

from hs_common.bounded import Bounded
from hs_common.storage import sync_rooms, sync_state
from hs_common.storage.queries import Queries
from hs_common.under_way import UnderWay

HEROES: Final = 5
NAMES: Final = {"m.room.name": "name", "m.room.canonical_alias": "alias"}
SUMMARISED: Final = ("m.room.member", *NAMES)
MAXIMUM_KEPT: Final = 10_000  # rooms whose members changed last; some 500 bytes each


class Moment(NamedTuple):
    """When a room is to be summarised. `changed_at`: its last change of what is summarised, None if that is unknown."""

    upto: int
    changed_at: int | None


class RoomSummary(NamedTuple):
    """One room's summary, for any reader. `present` and `former`: the first members, one more than is told.

    `is_named`: it has a name, or an alias to be called by; `has_name`: it has a name.
    """

    joined: int
    invited: int
    is_named: bool
    present: Sequence[str]
    former: Sequence[str]
    has_name: bool = False

    def heroes(self, reader: str) -> list[str]:
        """The first members besides the reader; if none are there, the first who have been."""
        return [] if self.is_named else self._members(reader)

    def heroes_without_name(self, reader: str) -> list[str]:
        """The same for sliding sync, where an alias does not count as a name."""
        return [] if self.has_name else self._members(reader)

    def _members(self, reader: str) -> list[str]:
        present = [user_id for user_id in self.present if user_id != reader]
        return (present or [user_id for user_id in self.former if user_id != reader])[:HEROES]

    def told(self, reader: str) -> dict[str, Any]:
        """The `summary` of an answer."""
        counts: dict[str, Any] = {"m.joined_member_count": self.joined, "m.invited_member_count": self.invited}
        return counts if self.is_named else {**counts, "m.heroes": self.heroes(reader)}


_Key = tuple[str, int]


class RoomSummaries:
    """Counts rooms."""

    def __init__(self, db: Queries) -> None:
        self._db = db
        self._kept = Bounded[_Key, RoomSummary](MAXIMUM_KEPT)
        self._being_counted = UnderWay[_Key]()

    async def of(self, moments: Mapping[str, Moment]) -> dict[str, RoomSummary]:
        """The summaries of the rooms, each at its moment."""
        mine: dict[str, int] = {}
        others: dict[str, _Key] = {}
        found: dict[str, RoomSummary] = {}
        for room_id, moment in moments.items():
            key = None if moment.changed_at is None else (room_id, moment.changed_at)
            if key is not None and key in self._kept:
                found[room_id] = self._kept[key]
            elif key is not None and key in self._being_counted:
                others[room_id] = key
            else:
                mine[room_id] = moment.upto
        found.update(await self._count_mine(mine, moments))
        for key in others.values():
            await self._being_counted.end_of(key)
        if others:  # kept now; or counted here, if whoever counted failed
            found.update(await self.of({room_id: moments[room_id] for room_id in others}))
        return found

    async def _count_mine(self, mine: Mapping[str, int], moments: Mapping[str, Moment]) -> dict[str, RoomSummary]:
        if not mine:
            return {}
        keys = {room_id: (room_id, at) for room_id in mine if (at := moments[room_id].changed_at) is not None}
        with ExitStack() as counting:
            for key in keys.values():
                counting.enter_context(self._being_counted.begun(key))
            found = await self._count(mine)
            self._kept.update((key, found[room_id]) for room_id, key in keys.items())
        return found

    async def _count(self, uptos: Mapping[str, int]) -> dict[str, RoomSummary]:
        rows = await sync_state.member_counts(self._db, list(uptos), list(uptos.values()))
        named, with_alias = await self._named(uptos)
        nameless = [room_id for room_id in uptos if room_id not in named]
        present = await self._oldest(nameless, uptos, ("join", "invite"))
        lonely = [room_id for room_id in nameless if len(present[room_id]) <= 1]
        former = await self._oldest(lonely, uptos, ("leave", "ban"))
        return {
            room_id: RoomSummary(
                joined,
                invited,
                room_id in named | with_alias,
                present.get(room_id, ()),
                former.get(room_id, ()),
                room_id in named,
            )
            for room_id, joined, invited in rows
        }

    async def _named(self, uptos: Mapping[str, int]) -> tuple[set[str], set[str]]:
        """The rooms that have a name, and those that have an alias to be called by."""
        keys = [(room_id, event_type, "", upto, upto) for room_id, upto in uptos.items() for event_type in NAMES]
        places = {row[3]: (row[0], row[1]) for row in await sync_state.entries(self._db, keys)}
        named: set[str] = set()
        with_alias: set[str] = set()
        for event_id, _, _, _, json in await sync_rooms.events(self._db, list(places)) if places else ():
            room_id, event_type = places[event_id]
            if orjson.loads(json)["content"].get(NAMES[event_type]):
                (named if event_type == "m.room.name" else with_alias).add(room_id)
        return named, with_alias

    async def _oldest(
        self, room_ids: Sequence[str], uptos: Mapping[str, int], memberships: Sequence[str]
    ) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {room_id: [] for room_id in room_ids}
        if room_ids:
            at = [uptos[room_id] for room_id in room_ids]
            for room_id, user_id in await sync_state.oldest_members(self._db, room_ids, at, memberships, HEROES + 1):
                found[room_id].append(user_id)
        return found
