"""Unread counts kept in memory and carried on by the log's items: the fast lane's way to the same counts. Pure.

Rules: a count is carried on only over items that are all known, and only where the outcome is certain: a redaction, a
receipt that reads a room in part, and a rule that looks into events are for Postgres.
"""

from collections.abc import Mapping
from typing import Final

from hs_common.bounded import Bounded
from hs_common.matrix.push_rule_evaluation import Reader as PushReader
from hs_common.matrix.push_rules import reader_bits
from hs_common.reading.settings import Settings
from hs_common.reading.unread import MAIN, RoomUnread
from hs_common.replication.items import EventItem, ReceiptItem
from hs_workers.sync.recent_log import RecentLog

MAXIMUM_USERS: Final = 20_000  # those whose clients were answered last
MAXIMUM_ROOMS: Final = 500  # of one user: in so many there is hardly news within one session


class UnreadMemory:
    """User → room → counts."""

    def __init__(self, recent: RecentLog) -> None:
        self._recent = recent
        self._users = Bounded[str, Bounded[str, RoomUnread]](MAXIMUM_USERS)

    def counted(self, user_id: str, counts: Mapping[str, RoomUnread]) -> None:
        """Takes what was counted in Postgres, unless more is known already."""
        if not counts:
            return
        rooms = self._users.setdefault(user_id, Bounded(MAXIMUM_ROOMS))
        self._users.move_to_end(user_id)
        for room_id, unread in counts.items():
            known = rooms.get(room_id)
            rooms[room_id] = unread if known is None or known.counted_to < unread.counted_to else known

    def at(self, user_id: str, room_id: str, now: int, settings: Settings) -> RoomUnread | None:
        """The counts at this process' position `now`; None if Postgres must be asked."""
        rooms = self._users.get(user_id)
        unread = None if rooms is None else rooms.get(room_id)
        if rooms is None or unread is None:
            return None
        if unread.counted_to < now:
            if not self._carry_on(unread, user_id, room_id, settings):
                del rooms[room_id]
                return None
            unread.counted_to = now
        return unread if unread.counted_to == now else None

    def forget(self, user_id: str) -> None:
        """The user's push rules or ignored users changed."""
        self._users.pop(user_id, None)

    def forget_room(self, room_id: str) -> None:
        """The room was deleted."""
        for rooms in self._users.values():
            rooms.pop(room_id, None)

    def forget_all(self) -> None:
        """The log began anew."""
        self._users.clear()

    def _carry_on(self, unread: RoomUnread, user_id: str, room_id: str, settings: Settings) -> bool:
        found = self._recent.of_room(room_id, unread.counted_to)
        if found is None:
            return False
        for recent in found:
            item = recent.item
            if isinstance(item, ReceiptItem):
                if item.user_id == user_id and not _read(unread, item):
                    return False
            elif isinstance(item, EventItem) and not _count(unread, item, user_id, settings):
                return False
        return True


def _read(unread: RoomUnread, item: ReceiptItem) -> bool:
    """The reader's receipt; False if it leaves in doubt what is read."""
    place = item.order_pos if item.order_sub == 0 else item.order_pos - 1
    if place < unread.newest and unread.counts:
        return False
    unread.read_all(item.thread_id, place)
    return True


def _count(unread: RoomUnread, item: EventItem, user_id: str, settings: Settings) -> bool:
    """An event; False if the event itself would have to be looked at, or lowers what was counted."""
    if item.redacted:
        return False
    if item.order_sub != 0:
        return True
    unread.newest = item.order_pos
    thread = item.thread_root or MAIN
    if item.sender == user_id:
        unread.read_all(thread, item.order_pos)
        return True
    if item.sender in settings.ignored:
        return True
    is_target = item.type == "m.room.member" and item.state_key == user_id
    bits = item.rule_bits | reader_bits(mentioned=user_id in item.mentions, is_target=is_target)
    rules = settings.push_rules
    actions = rules.judge(bits, item.room_id, item.sender, PushReader(user_id))
    if actions is None:
        return False
    if actions.notify:
        unread.add(thread, 1, int(actions.highlight))
    return True
