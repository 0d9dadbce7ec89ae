"""The newest part of the log in memory: what the fast lane answers from.

Bounded by items, time and bytes; what falls out leaves a mark by which everybody knows from where on a room's items are
complete here. Items are decoded once, and an event's client JSON is made once, for all who are told of it.
"""

from collections import OrderedDict, deque
from itertools import takewhile
from typing import Final, NamedTuple

from hs_common.replication import items
from hs_common.replication.items import EventItem, Item, ReceiptItem
from hs_workers.sync.timeline import TimelineEvent, TimelineRow

MAXIMUM_ITEMS: Final = 10_000
MAXIMUM_AGE_S: Final = 60.0  # a client that was away for longer is answered from Postgres, once
MAXIMUM_BYTES: Final = 32 * 1024 * 1024
MAXIMUM_MARKS: Final = 50_000  # rooms of which something fell out


class RecentItem(NamedTuple):
    """An item at its position; `told` is an event as timelines show it."""

    pos: int
    item: Item
    told: TimelineEvent | None
    size: int
    at: float


class RecentLog:
    """Items above `start`, all of them."""

    def __init__(
        self,
        position: int = 0,
        maximum_items: int = MAXIMUM_ITEMS,
        maximum_bytes: int = MAXIMUM_BYTES,
        maximum_marks: int = MAXIMUM_MARKS,
    ) -> None:
        self.start = position
        self.resets = 0  # by which who remembers what is here knows that it is not any more
        self._maximum_items = maximum_items
        self._maximum_bytes = maximum_bytes
        self._maximum_marks = maximum_marks
        self._items: deque[RecentItem] = deque()
        self._by_room: dict[str, deque[RecentItem]] = {}
        self._bytes = 0
        self._marks: OrderedDict[str, int] = OrderedDict()  # room → its last item that fell out
        self._begun = position  # of rooms without mark everything after this is here

    def __len__(self) -> int:
        return len(self._items)

    def reset(self, position: int) -> None:
        """The log begins anew."""
        self.resets += 1
        self.start = self._begun = position
        self._items.clear()
        self._by_room.clear()
        self._marks.clear()
        self._bytes = 0

    def add(self, pos: int, item: Item, size: int, now: float) -> None:
        """The next item; `size` in bytes, `now` in seconds."""
        told = timeline_event(item) if isinstance(item, EventItem) else None
        recent = RecentItem(pos, item, told, size, now)
        self._items.append(recent)
        self._bytes += size
        if isinstance(item, EventItem | ReceiptItem):
            self._by_room.setdefault(item.room_id, deque()).append(recent)
        while self._items and self._is_too_much(now):
            self._drop(self._items.popleft())

    def is_last(self, position: int) -> bool:
        """Whether there is nothing above a position."""
        return position >= self.start and (not self._items or self._items[-1].pos <= position)

    def since(self, position: int, limit: int) -> list[RecentItem] | None:
        """The items above a position, in order; None if they are not all here, or more than `limit`."""
        if position < self.start:
            return None
        found: list[RecentItem] = []
        for recent in reversed(self._items):
            if recent.pos <= position:
                break
            if len(found) == limit:
                return None
            found.append(recent)
        found.reverse()
        return found

    def of_room(self, room_id: str, after: int) -> list[RecentItem] | None:
        """The events and receipts of a room above a position, in order; None if they are not all here."""
        if after < self._marks.get(room_id, self._begun):
            return None
        # From the end: those who are told of all that happens ask for what came last.
        found = list(takewhile(lambda recent: recent.pos > after, reversed(self._by_room.get(room_id, ()))))
        found.reverse()
        return found

    def _is_too_much(self, now: float) -> bool:
        too_many = len(self._items) > self._maximum_items or self._bytes > self._maximum_bytes
        return too_many or now - self._items[0].at > MAXIMUM_AGE_S

    def _drop(self, recent: RecentItem) -> None:
        self.start = recent.pos
        self._bytes -= recent.size
        item = recent.item
        if not isinstance(item, EventItem | ReceiptItem):
            return
        of_room = self._by_room[item.room_id]
        of_room.popleft()
        if not of_room:
            del self._by_room[item.room_id]
        self._marks[item.room_id] = recent.pos
        self._marks.move_to_end(item.room_id)
        if len(self._marks) > self._maximum_marks:
            self._begun = max(self._begun, self._marks.popitem(last=False)[1])


def timeline_event(item: items.EventItem) -> TimelineEvent:
    """An event of the log as timelines show it; not yet redacted by anything that came later."""
    row = TimelineRow(
        room_id=item.room_id,
        order_pos=item.order_pos,
        order_sub=item.order_sub,
        event_id=item.event_id,
        sender=item.sender,
        type=item.type,
        state_key=item.state_key,
        origin_server_ts=item.origin_server_ts,
        thread_root=item.thread_root,
        state_pos=item.state_pos,
        delta_id=None,
        device_id=item.device_id,
        txn_id=item.txn_id,
        replaces_state=item.replaces_state,
        redacted_by=None,
    )
    return TimelineEvent(row, item.json)
