"""What the sync worker does with each item of the log, and with what is ephemeral: keep it, drop what it outdates, wake
whom it concerns.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from hs_common.matrix.errors import MatrixError, unknown_token
from hs_common.process.background import Background
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.replication import items
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.ephemeral import KeyCounts, Message, Presence, Typing
from hs_common.replication.subscription import Subscription
from hs_common.storage import sync_rooms
from hs_common.storage.queries import Queries
from hs_workers.sync.audience import Audience
from hs_workers.sync.device_changes import DeviceChanges
from hs_workers.sync.devices import Devices
from hs_workers.sync.members_sent import MembersSent
from hs_workers.sync.recent_log import RecentLog
from hs_workers.sync.unread_memory import UnreadMemory
from hs_workers.sync.waiting import WaitingClients

KINDS: Final = (
    *("event", "membership", "receipt", "account_data", "user", "sessions", "room_deleted"),
    *("devices", "cross_signing", "private_keys", "to_device"),
)


class SyncLog:
    """The subscriber. After each batch `advanced` wakes those whom it concerned."""

    def __init__(
        self,
        db: Queries,
        recent: RecentLog,
        audience: Audience,
        waiting: WaitingClients,
        settings: ReaderSettings,
        unread: UnreadMemory,
        members_sent: MembersSent,
        devices: Devices,
        background: Background,
        seconds: Callable[[], float],
    ) -> None:
        self._db = db
        self._recent = recent
        self._audience = audience
        self._waiting = waiting
        self._settings = settings
        self._unread = unread
        self._members_sent = members_sent
        self._devices = devices
        self.device_changes = DeviceChanges(db, audience, background, self._tell)
        self._background = background
        self._seconds = seconds
        audience.on_news = lambda user: waiting.news(user.user_id)

    def subscription(self) -> Subscription:
        """For the follower."""
        return Subscription("sync", KINDS, self.apply, self.reset)

    def apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        """The items of one commit."""
        now = self._seconds()
        for one in batch:
            item = items.decode(one.kind, one.body)
            if isinstance(item, items.SessionsItem):
                revoked = frozenset(item.token_hashes)
                self._waiting.revoke(item.user_id, lambda token, revoked=revoked: token in revoked, unknown_token())  # type: ignore[misc]
            elif isinstance(item, items.UserItem):
                self._apply_user(item)
            elif isinstance(item, items.RoomDeletedItem):
                self._recent.reset(one.pos)  # nothing of the room is shown from memory any more
                self._unread.forget_room(item.room_id)
            elif isinstance(item, items.ToDeviceItem):
                self._devices.apply(one.pos, item)
                self._audience.concern(item.devices)
            else:
                if isinstance(item, items.AccountDataItem) and item.room_id == "":
                    self._apply_settings(item)
                self._recent.add(one.pos, item, len(one.body), now)
                self._audience.apply(one.pos, item)
                self._apply_keys(one.pos, item)

    def reset(self, position: int) -> None:
        """The log begins anew: whatever was kept may be of a history that is no more."""
        self._recent.reset(position)
        self._settings.forget()
        self._unread.forget_all()
        self._members_sent.forget()
        self._devices.forget()
        self.device_changes.forget()
        for user in self._audience.forget():
            user.news += 1
            self._waiting.news(user.user_id)

    def advanced(self, position: int) -> None:
        """All subscribers have applied a batch."""
        self._waiting.wake_all()

    def heard(self, message: Message) -> None:
        """Something ephemeral that clients have not seen."""
        if isinstance(message, Typing):
            self._tell(self._audience.in_room(message.room_id))
        elif isinstance(message, KeyCounts):
            self._devices.counts_changed(message.user_id, message.device_id)
            self._tell([message.user_id])
        elif isinstance(message, Presence):
            user = self._audience.get(message.user_id)
            if user is None or user.rooms is None:
                self._background("rooms of a user", self._presence_of_stranger(message.user_id))
            else:
                self._tell_rooms([*user.rooms], message.user_id)

    def _apply_user(self, item: items.UserItem) -> None:
        if item.deactivated:
            self._waiting.revoke(item.user_id, lambda token: True, unknown_token())
        elif item.locked:
            locked = MatrixError(401, "M_USER_LOCKED", "This account has been locked", {"soft_logout": True})
            self._waiting.revoke(item.user_id, lambda token: True, locked)

    def _apply_keys(self, pos: int, item: items.Item) -> None:
        if isinstance(item, items.DevicesItem | items.CrossSigningItem):
            self.device_changes.add(pos, item.user_id)
        elif isinstance(item, items.PrivateKeysItem):
            self._audience.concern([item.reader_id])

    def _apply_settings(self, item: items.AccountDataItem) -> None:
        if self._settings.changed(item.user_id, item.type):
            self._unread.forget(item.user_id)

    # --- ephemeral ----------------------------------------------------------------------------------------------------

    async def _presence_of_stranger(self, user_id: str) -> None:
        """Of a user who does not sync here: his rooms have to be asked for."""
        self._tell_rooms(await sync_rooms.rooms_joined_by(self._db, user_id), user_id)

    def _tell_rooms(self, room_ids: Sequence[str], user_id: str) -> None:
        users = {user for room_id in room_ids for user in self._audience.in_room(room_id)}
        self._tell([*users, user_id])

    def _tell(self, user_ids: Iterable[str]) -> None:
        """Wakes at once: nothing else comes with it."""
        self._audience.concern(user_ids)
        self._waiting.wake_all()
