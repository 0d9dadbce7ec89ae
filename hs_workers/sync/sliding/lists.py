"""Which rooms a request is about: the reader's rooms in the order of activity, filtered, cut to windows. Pure.

Spec: MSC4186, "Lists", "Activity ordering", `SlidingRoomFilter`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter

from hs_common.reading.settings import Settings
from hs_workers.sync.sliding.question import Filters, RoomConfig, SlidingRequest
from hs_workers.sync.sliding.room_memory import Activity, facts_of_stripped
from hs_workers.sync.sliding.user_memory import NOT_IN, UserRooms
from hs_workers.sync.windows import Membership

ASKED: Sequence[str] = ("invite", "knock")


@dataclass(frozen=True, slots=True)
class View:
    """The reader's rooms at a position. `children`: rooms of spaces he is in. `activity`, and what filters ask for of
    `types` and `encrypted`, may tell of other rooms too.

    `were_in`: the rooms that he is out of and has been in. `is_here`: it is at this process' position.
    """

    position: int
    rooms: UserRooms
    activity: Mapping[str, Activity]
    types: Mapping[str, str | None] = field(default_factory=dict)
    encrypted: Mapping[str, bool] = field(default_factory=dict)
    children: Mapping[str, frozenset[str]] = field(default_factory=dict)
    were_in: frozenset[str] = frozenset()
    is_here: bool = False

    def ordered(self, rows: Collection[Membership]) -> list[Membership]:
        """By what happened last in each room, as far as the reader was there. In one expression, as each answer does
        this with all his rooms."""
        activity = self.activity
        lasts = [
            row.from_pos
            if row.membership != "join" or (one := activity.get(row.room_id)) is None or one.last < row.from_pos
            else one.last
            for row in rows
        ]
        by_last = sorted(zip(lasts, rows, strict=True), key=itemgetter(0), reverse=True)
        return [row for _, row in by_last]  # those of the same order stay as they were

    def type_of(self, row: Membership) -> str | None:
        """The room's type, for filters. Of who is only invited it is what he was told."""
        return facts_of_stripped(row.stripped_state).type if row.membership in ASKED else self.types.get(row.room_id)

    def is_encrypted(self, row: Membership) -> bool:
        """Whether the room is encrypted, likewise."""
        if row.membership in ASKED:
            return facts_of_stripped(row.stripped_state).is_encrypted
        return self.encrypted.get(row.room_id, False)


@dataclass(slots=True)
class Match:
    """A room that rules of the request match, with what they ask for together. `lists`: those that have it."""

    config: RoomConfig
    lists: list[str] = field(default_factory=list)
    is_subscribed: bool = False


@dataclass(slots=True)
class Matches:
    """Room → match, and the number of rooms that each list has in all."""

    rooms: dict[str, Match] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, room_id: str, config: RoomConfig) -> Match:
        """The room is matched by a rule with this config. Most rooms are matched by one only."""
        one = self.rooms.get(room_id)
        if one is None:
            one = self.rooms[room_id] = Match(config)
        elif one.config is not config:
            one.config = one.config.plus(config)
        return one


def server_list(view: View, settings: Settings, sent: Collection[str], user_id: str) -> list[Membership]:
    """The rooms that lists choose from, the most active first.

    Rooms that the reader left himself are there if the connection has been sent them; those that he was put out of, if
    he had been in them.
    """
    rows = [
        row
        for row in view.rooms.memberships.values()
        if row.membership == "join" or _is_listed(row, view, settings, sent, user_id)
    ]
    return view.ordered(rows)  # those of the same order: by their ids


def _is_listed(row: Membership, view: View, settings: Settings, sent: Collection[str], user_id: str) -> bool:
    if row.membership == "invite":
        return not settings.hides_invite(row.sender)
    if row.membership in NOT_IN:
        if row.room_id in sent:
            return True
        return row.sender != user_id and not row.forgotten and row.room_id in view.were_in
    return True


def match(request: SlidingRequest, view: View, listed: Sequence[Membership]) -> Matches:
    """The rooms that the request is about."""
    found = Matches()
    for name, wanted in request.lists.items():
        rows = filtered(wanted.filters, listed, view)
        found.counts[name] = len(rows)
        for room_id in _windows(rows, wanted.ranges):
            found.add(room_id, wanted.config).lists.append(name)
    may_see = {row.room_id for row in listed} | view.were_in if request.subscriptions else ()
    for room_id, config in request.subscriptions.items():
        if room_id in may_see:
            found.add(room_id, config).is_subscribed = True
    return found


def _windows(rows: Sequence[Membership], ranges: Sequence[tuple[int, int]] | None) -> list[str]:
    if ranges is None:
        return [row.room_id for row in rows]
    # Overlapping windows have a room once.
    return list(dict.fromkeys(row.room_id for start, end in ranges for row in rows[start : end + 1]))


def filtered(filters: Filters, rows: Sequence[Membership], view: View) -> Sequence[Membership]:
    """Those of the rooms that a list has. What a list does not ask costs nothing: a reader may be in thousands."""
    if filters.is_dm is not None:
        rows = [row for row in rows if (row.room_id in view.rooms.direct) is filters.is_dm]
    if filters.is_invited is not None:
        rows = [row for row in rows if (row.membership == "invite") is filters.is_invited]
    if filters.tags is not None or filters.not_tags:
        rows = [row for row in rows if _is_tagged(filters, view.rooms.tags.get(row.room_id, frozenset()))]
    if filters.spaces is not None:
        in_spaces: frozenset[str] = frozenset().union(*(view.children.get(space, ()) for space in filters.spaces))
        rows = [row for row in rows if row.room_id in in_spaces]
    if filters.asks_for_encryption:
        rows = [row for row in rows if view.is_encrypted(row) is filters.is_encrypted]
    if filters.asks_for_types:
        is_wanted = cache(lambda room_type: _is_of_type(filters, room_type))  # there are few types
        type_of = view.types.get  # of nearly all
        rows = [
            row for row in rows if is_wanted(type_of(row.room_id) if row.membership == "join" else view.type_of(row))
        ]
    return rows


def _is_tagged(filters: Filters, tags: frozenset[str]) -> bool:
    return (filters.tags is None or bool(tags & filters.tags)) and not tags & filters.not_tags


def _is_of_type(filters: Filters, room_type: str | None) -> bool:
    return (filters.room_types is None or room_type in filters.room_types) and room_type not in filters.not_room_types
