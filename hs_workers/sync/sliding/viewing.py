"""Looks at a reader's rooms: from memory at this process' position, or from the database at any.

From memory nothing is read once everything is known; what is not is read first, and then looked at again, until one
look at one position has all of it.

Spec: MSC4186, "Lists".
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final

import orjson

from hs_common.replication import items
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.subscription import Subscription
from hs_common.storage import sliding, sync_rooms
from hs_common.storage.queries import Queries
from hs_workers.sync.sliding.connection import Sent
from hs_workers.sync.sliding.lists import View
from hs_workers.sync.sliding.question import SlidingRequest
from hs_workers.sync.sliding.room_memory import (
    Asked,
    RoomMemory,
    read_activity,
    read_changes,
    read_encrypted,
    read_types,
)
from hs_workers.sync.sliding.user_memory import UserMemory, UserRooms, read_user_rooms

KINDS: Final = ("event", "membership", "forget", "account_data", "room_deleted")
# Looks until everything is there; more are needed only while the reader's memberships change all the time.
MAXIMUM_LOOKS: Final = 5


class Viewing:
    """Memory of users and rooms, kept up from the log."""

    def __init__(self, db: Queries, position: Callable[[], int]) -> None:
        self._db = db
        self._position = position
        self._users = UserMemory(db)
        self._rooms = RoomMemory(db)

    def subscription(self) -> Subscription:
        """For the follower; before those who wake clients."""
        return Subscription("sliding sync", KINDS, self._apply, self._reset)

    async def from_memory(self, user_id: str, request: SlidingRequest, sent: Mapping[str, Sent]) -> View | None:
        """At this process' position when it returns; None if that could not be had."""
        for _ in range(MAXIMUM_LOOKS):
            if await self._users.read(user_id, self._position()):
                continue
            rooms = self._users.known(user_id)
            assert rooms is not None, "it is known"
            asked = _asked(rooms, request, sent)
            spaces = request.spaces & rooms.joined.keys()
            at = self._position()
            children = await _children(self._db, spaces, at) if spaces else {}
            were_in = await _were_in(self._db, user_id, rooms, request, sent, at)
            if await self._rooms.read(asked, at):
                continue
            if self._users.known(user_id) is rooms:  # else they changed while the rest was read
                memory = self._rooms
                return View(
                    *(self._position(), rooms, memory.activity, memory.types, memory.encrypted),
                    *(children, were_in),
                    is_here=True,
                )
        return None

    async def from_database(self, user_id: str, request: SlidingRequest, sent: Mapping[str, Sent], at: int) -> View:
        """At a position, whatever this process' is."""
        rooms = await read_user_rooms(self._db, user_id, at)
        asked = _asked(rooms, request, sent)
        activity = await read_activity(self._db, asked.active, at)
        await read_changes(self._db, activity, [room_id for room_id, told in asked.told.items() if told < at], at)
        types = await read_types(self._db, asked.types)
        encrypted = await read_encrypted(self._db, asked.encrypted, at)
        spaces = request.spaces & rooms.joined.keys()
        children = await _children(self._db, spaces, at) if spaces else {}
        were_in = await _were_in(self._db, user_id, rooms, request, sent, at)
        return View(at, rooms, activity, types, encrypted, children, were_in)

    def _apply(self, batch: Collection[EntryItem], entry: Entry) -> None:
        for one in batch:
            item = items.decode(one.kind, one.body)
            self._users.apply(item)
            if isinstance(item, items.EventItem):
                self._rooms.apply(item)
            elif isinstance(item, items.RoomDeletedItem):
                self._rooms.forget_room(item.room_id)

    def _reset(self, position: int) -> None:
        self._users.forget()
        self._rooms.forget()


def _asked(rooms: UserRooms, request: SlidingRequest, sent: Mapping[str, Sent]) -> Asked:
    """What has to be known of the reader's rooms. What they are is said by the state of those that he is or was in."""
    live = 0 if request.pos is None else request.pos.position
    return Asked(
        rooms.joined.keys(),
        {room_id: one.position(live) for room_id, one in sent.items() if room_id in rooms.joined},
        rooms.with_state if request.asks_for_types else (),
        rooms.with_state if request.asks_for_encryption else (),
    )


async def _children(db: Queries, spaces: Collection[str], at: int) -> dict[str, frozenset[str]]:
    """Space → rooms. A child without `via` is none (any more)."""
    found: dict[str, set[str]] = {}
    for space, child, json in await sliding.children(db, list(spaces), at):
        if isinstance(orjson.loads(json)["content"].get("via"), list):
            found.setdefault(space, set()).add(child)
    return {space: frozenset(children) for space, children in found.items()}


async def _were_in(
    db: Queries, user_id: str, rooms: UserRooms, request: SlidingRequest, sent: Collection[str], at: int
) -> frozenset[str]:
    """Of the rooms that the reader is out of those that he has been in, as far as that matters: he was put out, the
    connection has been sent them, or they are subscribed to. Those that he forgot only if it has been sent them."""
    out = [
        row.room_id
        for row in rooms.out
        if row.sender != user_id or row.room_id in sent or row.room_id in request.subscriptions
    ]
    out += [room_id for room_id in (*sent, *request.subscriptions) if room_id not in rooms.memberships]
    if not out:
        return frozenset()
    rows = await sync_rooms.all_memberships(db, user_id, list(dict.fromkeys(out)), at)
    last = {row[0]: row for row in rows}  # they come by rising position
    forgotten = {room_id for room_id, row in last.items() if row[6]}.difference(sent)
    return frozenset(row[0] for row in rows if row[1] == "join") - forgotten
