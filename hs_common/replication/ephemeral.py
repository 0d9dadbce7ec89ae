"""What is told to clients but not kept in the log: typing and presence, as the master holds and tells it. Pure.

Rules: messages are values, never deltas (all who type in a room; a user's presence), so a lost one is made good by the
next, and each value is told again at intervals. Counters only go up, over every leader and restart: each leader starts
at the clock in µs. Presence is told when it changes, not when it is confirmed. Times are passed in, wall clock in ms.
Must not know who listens, nor what carries the messages.

Spec: client-server API, #typing-notifications and #presence.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from hs_common.bounded import Bounded
from hs_common.replication.remote_calls import RemotePresence

TYPING_LONGEST_MS: Final = 120_000  # whatever a client asks for: who types longer says so again
TYPISTS_LIMIT: Final = 100  # in one room; nobody reads more names
TYPING_REFRESH_MS: Final = 10_000  # a worker that starts, or missed a message, learns within this time
PRESENCE_REFRESH_MS: Final = 300_000  # likewise; presence is dearer to repeat and matters less
IDLE_MS: Final = 300_000  # online without activity becomes unavailable
OFFLINE_MS: Final = 60_000  # without a sync for two usual long polls: offline
REMOTE_OFFLINE_MS: Final = 45 * 60_000
"""Servers repeat their users' presence about twice an hour; one that says nothing for longer is taken to be gone."""
ONLINE_DEVICES_LIMIT: Final = 50  # of a user, by their syncs; one that is not counted may be taken to be idle
USERS_LIMIT: Final = 100_000  # users whose presence is held; the longest silent are forgotten


class Typing(msgspec.Struct, array_like=True, frozen=True, tag="typing"):
    """All who type in a room now, in the order in which they began."""

    room_id: str
    user_ids: tuple[str, ...]


class Presence(msgspec.Struct, array_like=True, frozen=True, tag="presence"):
    """A user's presence now. `last_active_ms`: wall clock."""

    user_id: str
    presence: str
    last_active_ms: int
    currently_active: bool
    status_msg: str | None


class KeyCounts(msgspec.Struct, array_like=True, frozen=True, tag="key_counts"):
    """The number of one-time or fallback keys of a device changed; whoever wants to know reads them."""

    user_id: str
    device_id: str


Message = Typing | Presence | KeyCounts

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """The message's body on the ephemeral stream."""
    return _encoder.encode(message)


def decode_message(body: bytes) -> Message | None:
    """The message, or None if it is of a kind that this code does not know."""
    try:
        message: Message = _decoder.decode(body)
    except msgspec.DecodeError:
        return None  # of a newer master: values that nobody here could show
    return message


def same_presence(one: Presence, other: Presence) -> bool:
    """Whether clients would see no difference but the time of the last activity."""
    return (one.presence, one.currently_active, one.status_msg) == (
        other.presence,
        other.currently_active,
        other.status_msg,
    )


@dataclass
class _Room:
    until_ms: dict[str, int]  # by user, in the order in which they began
    told_ms: int


@dataclass
class _User:
    value: Presence
    seen_ms: int  # last sign of life
    told_ms: int
    is_remote: bool = False  # another server says what his presence is
    is_idle: bool = False  # unavailable because nothing was done for long, not because a client says so
    online_devices: dict[str, int] = field(default_factory=dict)  # when each last synced and said it was online


class EphemeralState:
    """What the leader holds. Every method gives the messages to publish, with their counters."""

    def __init__(self, last_counter: int, clock_us: int) -> None:
        """`last_counter`: the highest that is known to have been used, 0 if none is; `clock_us`: wall clock in µs."""
        self._next = max(last_counter + 1, clock_us)
        self._rooms: dict[str, _Room] = {}
        self._users = Bounded[str, _User](USERS_LIMIT)

    def is_typing(self, room_id: str, user_id: str) -> bool:
        """Whether the user types there now, as far as it was told."""
        room = self._rooms.get(room_id)
        return room is not None and user_id in room.until_ms

    def set_typing(self, room_id: str, user_id: str, timeout_ms: int, now_ms: int) -> list[tuple[int, Message]]:
        """`user_id` types for so long, or (0) has stopped."""
        room = self._rooms.setdefault(room_id, _Room({}, now_ms))
        typed = user_id in room.until_ms
        if timeout_ms > 0 and (typed or len(room.until_ms) < TYPISTS_LIMIT):
            room.until_ms[user_id] = now_ms + min(timeout_ms, TYPING_LONGEST_MS)
        elif timeout_ms <= 0:
            room.until_ms.pop(user_id, None)
        changed = typed != (user_id in room.until_ms)
        messages = [self._tell_room(room_id, room, now_ms)] if changed else []
        if not room.until_ms:
            del self._rooms[room_id]
        return messages

    def set_presence(
        self,
        user_id: str,
        presence: str,
        now_ms: int,
        status_msg: str | None = None,
        status_msg_given: bool = False,
        by_sync: bool = False,
        device_id: str = "",
    ) -> list[tuple[int, Message]]:
        """`user_id` says what its presence is. Without `status_msg_given` the status message stays as it is.

        `by_sync`: a client polls, which is a sign of life, but nothing that the user has done. While another of his
        devices says so that he is online, one that is idle changes nothing.
        """
        user = self._users.get(user_id)
        old = Presence(user_id, "offline", 0, False, None) if user is None else user.value
        devices = {} if user is None else user.online_devices
        if by_sync:
            devices = _online_devices(devices, device_id, presence, now_ms)
        is_no_news = user is not None and (user.is_idle or old.presence == "online")
        if by_sync and user is not None and is_no_news and devices:
            user.online_devices = devices
            user.seen_ms = now_ms
            self._users[user_id] = user  # one more sign of life: the last to be forgotten
            return []
        active = presence == "online"
        last_active_ms = now_ms if active or user is None else old.last_active_ms
        status = status_msg if status_msg_given else old.status_msg
        value = Presence(user_id, presence, last_active_ms, active, status)
        told_ms = now_ms if user is None else user.told_ms
        self._users[user_id] = user = _User(value, now_ms, told_ms, online_devices=devices)
        return [] if same_presence(old, value) else [self._tell_user(user, now_ms)]

    def active(self, user_id: str, now_ms: int) -> list[tuple[int, Message]]:
        """The user did something. Of who is offline, as ghosts of bridges are, nothing is known, and that stays so."""
        user = self._users.get(user_id)
        if user is None or user.is_remote or user.value.presence == "offline":
            return []
        return self.set_presence(user_id, "online", now_ms)

    def set_remote_presence(self, update: RemotePresence, now_ms: int) -> list[tuple[int, Message]]:
        """What another server says of its user."""
        old = self._users.get(update.user_id)
        last_active_ms = max(0, now_ms - update.last_active_ago_ms)
        active = update.presence == "online" and update.currently_active
        value = Presence(update.user_id, update.presence, last_active_ms, active, update.status_msg)
        told_ms = now_ms if old is None else old.told_ms
        self._users[update.user_id] = user = _User(value, now_ms, told_ms, is_remote=True)
        return [] if old is not None and same_presence(old.value, value) else [self._tell_user(user, now_ms)]

    def hint_key_counts(self, user_id: str, device_id: str) -> list[tuple[int, Message]]:
        """A device's key counts changed."""
        return [self._tell(KeyCounts(user_id, device_id))]

    def pass_time(self, now_ms: int) -> list[tuple[int, Message]]:
        """What ends or is due to be told again by now; to be asked about once a second."""
        return [*self._pass_time_of_rooms(now_ms), *self._pass_time_of_users(now_ms)]

    def _pass_time_of_rooms(self, now_ms: int) -> Iterator[tuple[int, Message]]:
        for room_id, room in list(self._rooms.items()):
            left = {user_id: until for user_id, until in room.until_ms.items() if until > now_ms}
            if len(left) != len(room.until_ms) or now_ms - room.told_ms >= TYPING_REFRESH_MS:
                room.until_ms = left
                yield self._tell_room(room_id, room, now_ms)
            if not left:
                del self._rooms[room_id]

    def _pass_time_of_users(self, now_ms: int) -> Iterator[tuple[int, Message]]:
        for user in self._users.values():
            presence = _decay(user, now_ms)
            if presence != user.value.presence:
                user.value = msgspec.structs.replace(user.value, presence=presence, currently_active=False)
                user.is_idle = presence == "unavailable"
                yield self._tell_user(user, now_ms)
            elif presence != "offline" and now_ms - user.told_ms >= PRESENCE_REFRESH_MS:
                yield self._tell_user(user, now_ms)  # who is not told of is offline anyway

    def _tell_room(self, room_id: str, room: _Room, now_ms: int) -> tuple[int, Message]:
        room.told_ms = now_ms
        return self._tell(Typing(room_id, tuple(room.until_ms)))

    def _tell_user(self, user: _User, now_ms: int) -> tuple[int, Message]:
        user.told_ms = now_ms
        return self._tell(user.value)

    def _tell(self, message: Message) -> tuple[int, Message]:
        counter = self._next
        self._next += 1
        return counter, message


def _online_devices(before: dict[str, int], device_id: str, presence: str, now_ms: int) -> dict[str, int]:
    """Those that said not long ago that they are online, now that one of them says its presence."""
    devices = {one: at for one, at in before.items() if one != device_id and now_ms - at < OFFLINE_MS}
    if presence == "online" and len(devices) < ONLINE_DEVICES_LIMIT:
        devices[device_id] = now_ms
    return devices


def _decay(user: _User, now_ms: int) -> str:
    """What a user's presence has become without signs of life."""
    if user.is_remote:
        return "offline" if now_ms - user.seen_ms >= REMOTE_OFFLINE_MS else user.value.presence
    if now_ms - user.seen_ms >= OFFLINE_MS:
        return "offline"
    if user.value.presence == "online" and now_ms - user.value.last_active_ms >= IDLE_MS:
        return "unavailable"
    return user.value.presence
