"""Counts what a reader has not read, many rooms together: from the cache what was counted before, the rest anew.

Events are counted in groups that push rules cannot tell apart without looking into them; only for a reader whose own
rules look into events are those read.
"""

from collections.abc import Mapping
from typing import Final

import orjson

from hs_common.matrix.push_conditions import MAX_TEXT_LENGTH
from hs_common.matrix.push_rule_evaluation import CompiledRules
from hs_common.matrix.push_rule_evaluation import Reader as PushReader
from hs_common.matrix.push_rules import reader_bits
from hs_common.reading.push_facts import MEMBER, room_facts
from hs_common.reading.settings import Settings
from hs_common.reading.unread import MAXIMUM_COUNT, CachedCount, RoomUnread, continued, lower_bounds
from hs_common.storage import unread
from hs_common.storage.queries import Queries

# A room with more events since its cached count is worth a write.
WORTH_KEEPING: Final = 50
# Characters × conditions that a reader's own rules may search for one answer, about a second. With a few keywords that
# is tens of thousands of messages; what is left over is not counted.
MAXIMUM_SEARCHED: Final = 20_000_000


class UnreadCounter:
    """Counts for one reader at one position."""

    def __init__(self, db: Queries, user_id: str, settings: Settings, versions: Mapping[str, str], now: int) -> None:
        self._db = db
        self._user_id = user_id
        self._settings = settings
        self._versions = versions
        self._now = now
        self._searched = 0
        self.to_keep: dict[str, RoomUnread] = {}  # what the cache should be told

    async def count(self, joined_at: Mapping[str, int]) -> dict[str, RoomUnread]:
        """The counts of rooms, given the position of the reader's join of each."""
        if not joined_at:
            return {}
        rooms = await self.bounds(joined_at)
        fresh = {room_id: lower_copy(room) for room_id, room in rooms.items()}
        cached: dict[str, list[CachedCount]] = {}
        for row in await unread.cached(self._db, self._user_id, list(rooms)):
            cached.setdefault(row[0], []).append(CachedCount(*row))
        known = {room_id for room_id, room in rooms.items() if continued(room, cached.get(room_id, ()), self._now)}
        redacted = await self._count(rooms)
        again = {room_id: fresh[room_id] for room_id in redacted & known}
        if again:  # a redaction lowers what was counted before it
            await self._count(again)
        return {**rooms, **again}

    async def bounds(self, joined_at: Mapping[str, int]) -> dict[str, RoomUnread]:
        """Up to where rooms are read, without counts."""
        receipts: dict[str, list[tuple[str, int, int]]] = {}
        for room_id, thread, pos, sub in await unread.own_receipts(self._db, self._user_id, list(joined_at), self._now):
            receipts.setdefault(room_id, []).append((thread, pos, sub))
        lows = [lower_bounds(joined, receipts.get(room, ()), ()).base for room, joined in joined_at.items()]
        events: dict[str, list[tuple[str | None, int]]] = {}
        for room_id, root, pos in await unread.own_events(self._db, self._user_id, list(joined_at), lows, self._now):
            events.setdefault(room_id, []).append((root, pos))
        return {
            room_id: lower_bounds(joined, receipts.get(room_id, ()), events.get(room_id, ()))
            for room_id, joined in joined_at.items()
        }

    async def _count(self, rooms: Mapping[str, RoomUnread]) -> set[str]:
        """Counts on from where each room was counted to. Returns the rooms with redactions."""
        threads = [
            (room_id, thread, bound)
            for room_id, room in rooms.items()
            for thread, bound in room.bounds.items()
            if bound > room.counted_to
        ]
        lows = {room_id: room.counted_to for room_id, room in rooms.items()}
        groups = await unread.groups(self._db, self._user_id, list(lows), list(lows.values()), self._now, threads)
        redacted, inside, counted = set(), set(), dict.fromkeys(rooms, 0)
        rules = {room_id: self._settings.push_rules.in_room(room_id) for room_id in {row[0] for row in groups}}
        for room_id, thread, sender, redacts, bits, target, mentioned, count, newest in groups:
            counted[room_id] += count
            rooms[room_id].newest = max(rooms[room_id].newest, newest)
            if redacts:
                redacted.add(room_id)
            if sender in self._settings.ignored:
                continue
            bits |= reader_bits(mentioned=mentioned, is_target=target)
            actions = rules[room_id].judge(bits, room_id, sender, PushReader(self._user_id))
            if actions is None:
                inside.add(room_id)
            elif actions.notify:
                rooms[room_id].add(thread, count, count if actions.highlight else 0)
        if inside:
            await self._look_inside({room_id: rooms[room_id] for room_id in inside}, lows, rules)
        for room_id, room in rooms.items():
            room.counted_to = self._now
            if counted[room_id] >= WORTH_KEEPING:
                self.to_keep[room_id] = room
        return redacted

    async def _look_inside(
        self, rooms: Mapping[str, RoomUnread], lows: Mapping[str, int], rules: Mapping[str, CompiledRules]
    ) -> None:
        """Judges by their content the events whose groups could not be."""
        facts = await room_facts(self._db, list(rooms), [self._user_id], self._versions, self._now)
        room_lows = [lows[room_id] for room_id in rooms]
        rows = await unread.events_of_groups(self._db, list(rooms), room_lows, self._now, MAXIMUM_COUNT)
        mentions = await unread.mentions(self._db, self._user_id, list(rooms), min(room_lows), self._now)
        costs = {room_id: 1 + rules[room_id].conditions() for room_id in rooms}
        for room_id, thread, pos, sender, bits, state_key, event_id, json in rows:
            room = rooms[room_id]
            if sender == self._user_id or sender in self._settings.ignored or pos <= room.bound(thread):
                continue
            pdu = orjson.loads(json)
            is_target = pdu["type"] == MEMBER and state_key == self._user_id
            bits |= reader_bits(mentioned=event_id in mentions, is_target=is_target)
            reader = facts[room_id].reader(self._user_id)
            if rules[room_id].judge(bits, room_id, sender, reader) is not None:
                continue  # counted with its group
            self._searched += costs[room_id] * min(len(json), MAX_TEXT_LENGTH)
            if self._searched > MAXIMUM_SEARCHED:
                return
            seen = {**pdu, "event_id": event_id, "room_id": room_id}
            actions = rules[room_id].judge(bits, room_id, sender, reader, facts[room_id].of(seen))
            if actions is not None and actions.notify:
                room.add(thread, 1, int(actions.highlight))


def lower_copy(room: RoomUnread) -> RoomUnread:
    """The same bounds, not counted."""
    return RoomUnread(room.base, dict(room.bounds), room.base, {})
