"""Unread counts of one reader in one room: from where they count, what an event adds, what a receipt takes away. Pure.

Everything in a thread up to its lower bound is read: the furthest of the unthreaded receipt, the thread's receipt, the
reader's own last event in it, and the reader's join. Places are positions of live events.

Spec: client-server API, #receiving-notifications, #marking-notifications-as-read, #threaded-read-receipts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MAIN: Final = "main"
UNTHREADED: Final = ""
# "99+" is all that any client shows; a count may stop somewhere.
MAXIMUM_COUNT: Final = 1_000


class Counts(NamedTuple):
    """Of one thread."""

    notifications: int = 0
    highlights: int = 0

    def plus(self, notifications: int, highlights: int) -> "Counts":
        """More of each, up to the maximum."""
        return Counts(
            min(MAXIMUM_COUNT, self.notifications + notifications), min(MAXIMUM_COUNT, self.highlights + highlights)
        )


@dataclass(slots=True)
class RoomUnread:
    """A reader's counts in one room, up to `counted_to`. Threads without notifications are not in `counts`."""

    base: int = 0
    bounds: dict[str, int] = field(default_factory=dict)
    counted_to: int = 0
    counts: dict[str, Counts] = field(default_factory=dict)
    newest: int = 0  # no event that was counted is above it

    def bound(self, thread: str) -> int:
        """The place up to which a thread is read."""
        return max(self.base, self.bounds.get(thread, 0))

    def add(self, thread: str, notifications: int, highlights: int) -> None:
        """Events that notify."""
        if notifications:
            self.counts[thread] = self.counts.get(thread, Counts()).plus(notifications, highlights)

    def read_all(self, thread: str, place: int) -> None:
        """All that was counted in a thread is read, as `place` is at or above it; UNTHREADED: in all threads."""
        if thread == UNTHREADED:
            self.base = max(self.base, place)
            self.counts.clear()
        else:
            self.bounds[thread] = max(self.bounds.get(thread, 0), place)
            self.counts.pop(thread, None)

    def summary(self, by_thread: bool) -> dict[str, Any]:
        """The keys that an answer has of it: one sum, or the main timeline's and one for each thread."""
        if not by_thread:
            total = Counts()
            for counts in self.counts.values():
                total = total.plus(*counts)
            return {"unread_notifications": _json(total)}
        told: dict[str, Any] = {"unread_notifications": _json(self.counts.get(MAIN, Counts()))}
        threads = {thread: _json(counts) for thread, counts in sorted(self.counts.items()) if thread != MAIN}
        if threads:
            told["unread_thread_notifications"] = threads
        return told


class CachedCount(NamedTuple):
    """A row of unread_cache. thread_id '' stands for the room."""

    room_id: str
    thread_id: str
    bound_pos: int
    counted_to: int
    notifications: int
    highlights: int


def lower_bounds(
    joined_at: int, receipts: Iterable[tuple[str, int, int]], own_events: Iterable[tuple[str | None, int]]
) -> RoomUnread:
    """The bounds of a room that has not been counted. `receipts`: (thread, order_pos, order_sub) of either type.

    A receipt at history found before the live event at order_pos leaves that event unread.
    """
    unread = RoomUnread(base=joined_at)
    for thread, order_pos, order_sub in receipts:
        place = order_pos if order_sub == 0 else order_pos - 1
        if thread == UNTHREADED:
            unread.base = max(unread.base, place)
        else:
            unread.bounds[thread] = max(unread.bounds.get(thread, 0), place)
    for root, order_pos in own_events:
        thread = root or MAIN
        unread.bounds[thread] = max(unread.bounds.get(thread, 0), order_pos)
    unread.counted_to = unread.base
    return unread


def continued(unread: RoomUnread, cached: Iterable[CachedCount], now: int) -> bool:
    """Takes over what was counted before, if it still stands: then only what is newer has to be counted.

    A thread that was read only in part since then has to be counted again, and with it the room.
    """
    rows = list(cached)
    marker = next((row for row in rows if row.thread_id == UNTHREADED), None)
    if marker is None or marker.counted_to > now or marker.counted_to < unread.base:
        return False
    threads = [row for row in rows if row.thread_id != UNTHREADED]
    kept: dict[str, Counts] = {}
    for row in threads:
        bound = unread.bound(row.thread_id)
        if row.counted_to != marker.counted_to:
            return False
        if bound == row.bound_pos:
            kept[row.thread_id] = Counts(row.notifications, row.highlights)
        elif bound < marker.counted_to:
            return False
    unread.counted_to = unread.newest = marker.counted_to
    unread.counts.update(kept)
    return True


def rows_to_keep(rooms: Mapping[str, RoomUnread]) -> list[tuple[str, str, int, int, int, int]]:
    """What unread_cache is to hold of these rooms."""
    rows: list[tuple[str, str, int, int, int, int]] = []
    for room_id, unread in rooms.items():
        rows.append((room_id, UNTHREADED, unread.base, unread.counted_to, 0, 0))
        rows += [
            (room_id, thread, unread.bound(thread), unread.counted_to, counts.notifications, counts.highlights)
            for thread, counts in unread.counts.items()
        ]
    return rows


def _json(counts: Counts) -> dict[str, int]:
    return {"notification_count": counts.notifications, "highlight_count": counts.highlights}
