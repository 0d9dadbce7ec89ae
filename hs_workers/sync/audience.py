"""Whom an item of the log concerns: the users who sync here, each with the rooms he is joined to.

Rules: a user is tracked from the first time he waits, and his rooms are kept up from the log, so a waiting client costs
memory only and a poll that begins costs nothing per room. What happens while his rooms are being read counts as his.
Bounded: who has not synced for longest is tracked no more.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twisted.internet.defer import Deferred

from hs_common.replication import items
from hs_common.replication.items import Item
from hs_common.storage import sync_rooms
from hs_common.storage.queries import Queries

MAXIMUM_USERS: Final = 20_000  # of one worker; each costs some 100 bytes a room
KINDS: Final = ("event", "membership", "receipt", "account_data")
PRIVATE: Final = "m.read.private"


class TrackedUser:
    """One user. `news` counts what concerned him, of the log and ephemeral. No rooms: they are being read."""

    __slots__ = ("membership_at", "news", "on_loaded", "rooms", "tracked_from", "user_id", "waiting")

    def __init__(self, user_id: str, position: int) -> None:
        self.user_id = user_id
        self.rooms: set[str] | None = None
        self.news = 0
        self.membership_at = position  # the last position at which his memberships changed
        self.tracked_from = position
        self.waiting = 0
        self.on_loaded: list[Deferred[None]] = []


class Audience:
    """The tracked users. `on_news` is called with each of them whom something concerns."""

    def __init__(self, db: Queries, position: Callable[[], int]) -> None:
        self._db = db
        self._position = position
        self._users: OrderedDict[str, TrackedUser] = OrderedDict()
        self._by_room: dict[str, set[str]] = {}
        self._missed: dict[str, list[tuple[str, bool]]] = {}  # while loading: (room, joined)
        self.on_news: Callable[[TrackedUser], None] = lambda user: None

    async def track(self, user_id: str) -> TrackedUser:
        """The user with his rooms as they are at this process' position, kept up from now on."""
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = TrackedUser(user_id, self._position())
            await self._load(user)
        elif user.rooms is None:
            loaded: Deferred[None] = Deferred()
            user.on_loaded.append(loaded)
            await loaded
        if user.rooms is None or self._users.get(user_id) is not user:
            return await self.track(user_id)  # who read them failed, or the log began anew meanwhile
        self._users.move_to_end(user_id)
        self._drop_idle()
        return user

    def known(self, user_id: str) -> TrackedUser | None:
        """As `track`, without reading anything: None if he is not tracked, or his rooms are being read."""
        user = self.get(user_id)
        if user is not None:
            self._users.move_to_end(user_id)
        return user

    def get(self, user_id: str) -> TrackedUser | None:
        """The user, if he is tracked and his rooms are known."""
        user = self._users.get(user_id)
        return None if user is None or user.rooms is None else user

    def forget(self) -> list[TrackedUser]:
        """The log began anew: nobody is tracked any more. Gives those who were."""
        users = list(self._users.values())
        self._users.clear()
        self._by_room.clear()
        return users

    async def _load(self, user: TrackedUser) -> None:
        missed = self._missed[user.user_id] = []
        try:
            rooms = set(await sync_rooms.joined_rooms(self._db, user.user_id, user.tracked_from))
            for room_id, is_joined in missed:
                (rooms.add if is_joined else rooms.discard)(room_id)
            user.rooms = rooms
            if self._users.get(user.user_id) is user:
                for room_id in rooms:
                    self._by_room.setdefault(room_id, set()).add(user.user_id)
        except BaseException:
            if self._users.get(user.user_id) is user:
                del self._users[user.user_id]
            raise
        finally:
            if self._missed.get(user.user_id) is missed:
                del self._missed[user.user_id]
            waiting, user.on_loaded = user.on_loaded, []
            for loaded in waiting:
                if not loaded.called:
                    loaded.callback(None)

    def _drop_idle(self) -> None:
        for _ in range(len(self._users) - MAXIMUM_USERS):
            user = next(iter(self._users.values()))
            if user.waiting or user.rooms is None:
                self._users.move_to_end(user.user_id)  # busy: looked at again when others were
                continue
            del self._users[user.user_id]
            for room_id in user.rooms:
                self._leave(user.user_id, room_id)

    # --- what happens -------------------------------------------------------------------------------------------------

    def apply(self, pos: int, item: Item) -> None:
        """An item of the log."""
        if isinstance(item, items.EventItem):
            self._apply_event(pos, item)
        elif isinstance(item, items.MembershipItem):
            self._apply_membership(pos, item.room_id, item.membership.user_id, item.membership.membership)
        elif isinstance(item, items.ReceiptItem):
            self.concern([item.user_id] if item.receipt_type == PRIVATE else self.in_room(item.room_id))
        elif isinstance(item, items.AccountDataItem):
            self.concern([item.user_id])

    def in_room(self, room_id: str) -> Sequence[str]:
        """The tracked users joined to a room, with those whose rooms are being read."""
        return [*self._by_room.get(room_id, ()), *self._missed]

    def concern(self, user_ids: Iterable[str]) -> None:
        """Something concerns these users, as far as they are tracked."""
        for user_id in user_ids:
            user = self._users.get(user_id)
            if user is not None:
                user.news += 1
                self.on_news(user)

    def _apply_event(self, pos: int, item: items.EventItem) -> None:
        self.concern(self.in_room(item.room_id))
        for membership in item.memberships:
            self._apply_membership(pos, item.room_id, membership.user_id, membership.membership)
        for change in item.changes:
            if change.old_membership is not None and change.new_event_id is None:
                self._apply_membership(pos, item.room_id, change.state_key, "leave")

    def _apply_membership(self, pos: int, room_id: str, user_id: str, membership: str) -> None:
        user = self._users.get(user_id)
        if user is None:
            return
        user.membership_at = pos
        is_joined = membership == "join"
        if user.rooms is None:
            self._missed.setdefault(user_id, []).append((room_id, is_joined))
        elif is_joined:
            user.rooms.add(room_id)
            self._by_room.setdefault(room_id, set()).add(user_id)
        else:
            user.rooms.discard(room_id)
            self._leave(user_id, room_id)
        self.concern([user_id])

    def _leave(self, user_id: str, room_id: str) -> None:
        users = self._by_room.get(room_id)
        if users is not None:
            users.discard(user_id)
            if not users:
                del self._by_room[room_id]
