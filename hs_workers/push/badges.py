"""What users with pushers have not read, kept from the log: a room is counted again only when something happened in it.

Counts come from the same place as /sync's (`hs_common.reading.load_unread`), and so are the same. Who asks gets them as
they are at this process' position or later, never as they were when the event was judged: a badge tells what is now so.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from twisted.internet.defer import DeferredLock

from hs_common.bounded import Bounded
from hs_common.reading.load_unread import UnreadCounter
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.unread import MAIN, RoomUnread, rows_to_keep
from hs_common.storage import push_queue, unread
from hs_common.storage.queries import Queries

MAXIMUM_USERS: Final = 20_000  # those who were told something last
MAXIMUM_READ_ROOMS: Final = 200  # of one user, without unread events: kept for the events that are just being pushed


class Badge(NamedTuple):
    """A user's counts over all rooms: notifications, rooms that have some, calls that nobody took."""

    messages: int = 0
    rooms: int = 0
    missed_calls: int = 0


class _User:
    def __init__(self) -> None:
        self.rooms: dict[str, RoomUnread] = {}
        self.calls: dict[str, int] = {}
        self.dirty: set[str] = set()
        self.counting: set[str] = set()  # rooms whose count is under way, and may be older than what comes now
        self.is_known = False
        self.lock = DeferredLock()

    def badge(self) -> Badge:
        counts = [[one.notifications for one in room.counts.values()] for room in self.rooms.values()]
        return Badge(sum(map(sum, counts)), sum(1 for room in counts if any(room)), sum(self.calls.values()))

    def take(self, room_id: str, unread: RoomUnread, calls: int) -> None:
        self.rooms.pop(room_id, None)
        self.rooms[room_id] = unread
        self.calls.pop(room_id, None)
        if calls:
            self.calls[room_id] = calls

    def leave(self, room_id: str) -> None:
        self.rooms.pop(room_id, None)
        self.calls.pop(room_id, None)

    def bound(self) -> None:
        read = [room_id for room_id, room in self.rooms.items() if not room.counts]
        for room_id in read[: max(0, len(read) - MAXIMUM_READ_ROOMS)]:
            del self.rooms[room_id]


class Badges:
    """User → what is unread. `position` is that of this process' follower."""

    def __init__(self, db: Queries, settings: ReaderSettings, position: Callable[[], int]) -> None:
        self._db = db
        self._settings = settings
        self._position = position
        self._users = Bounded[str, _User](MAXIMUM_USERS)

    def __len__(self) -> int:
        return len(self._users)

    # --- what the log tells ---

    def touched(self, user_id: str, room_id: str) -> None:
        """Something happened in a room that may change the user's counts."""
        user = self._users.get(user_id)
        if user is not None:
            user.dirty.add(room_id)

    def may_have_unread(self, user_id: str, room_id: str) -> bool:
        """Whether reading all of a room could change what the user was last told."""
        user = self._users.get(user_id)
        if user is None or not user.is_known or room_id in user.dirty or room_id in user.counting:
            return True
        return room_id in user.rooms and bool(user.rooms[room_id].counts)

    def forget(self, user_id: str) -> None:
        """His rules or whom he ignores changed, or he has no pusher any more."""
        self._users.pop(user_id, None)

    def forget_all(self) -> None:
        """The log began anew."""
        self._users.clear()

    # --- what is asked ---

    async def of(self, user_id: str, pos: int) -> Badge:
        """The user's counts, at a position or later."""
        return (await self._settled(user_id, None, pos)).badge()

    async def is_read(self, user_id: str, room_id: str, thread: str, pos: int) -> bool:
        """Whether the user has read what stands at a position, or is not in the room any more."""
        user = await self._settled(user_id, room_id, pos)
        unread = user.rooms.get(room_id)
        return unread is None or unread.bound(thread) >= pos

    async def _settled(self, user_id: str, needed: str | None, pos: int) -> _User:
        """The user, with what is known up to `pos` at least: another worker may have been ahead of this one."""
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = _User()
        self._users.move_to_end(user_id)
        await user.lock.acquire()
        try:
            if needed is not None and (needed not in user.rooms or user.rooms[needed].counted_to < pos):
                user.dirty.add(needed)
            if user.dirty or not user.is_known:
                await self._count(user_id, user, max(pos, self._position()))
        finally:
            user.lock.release()
        return user

    async def _count(self, user_id: str, user: _User, now: int) -> None:
        dirty, user.dirty = user.dirty, set()
        user.counting = dirty
        try:
            rows = await unread.joined_rooms(self._db, user_id, sorted(dirty) if user.is_known else None)
            joined_at = {room_id: pos for room_id, pos, _ in rows if pos <= now}
            versions = {room_id: version for room_id, _, version in rows}
            counter = UnreadCounter(self._db, user_id, await self._settings.of(user_id), versions, now)
            counted = await counter.count(joined_at)
            lows = {room_id: unread.bound(MAIN) for room_id, unread in counted.items()}
            calls = await push_queue.missed_calls(self._db, user_id, lows) if lows else {}
            if counter.to_keep:
                await unread.keep(self._db, user_id, rows_to_keep(counter.to_keep))
        except BaseException:
            user.dirty |= dirty
            raise
        finally:
            user.counting = set()
        for room_id in dirty:
            user.leave(room_id)
        for room_id, room in counted.items():
            user.take(room_id, room, calls.get(room_id, 0))
        user.is_known = True
        user.bound()
