"""Typing and presence as a worker sees them, and what of it a client has not been told yet. Pure.

Rules: a value counts as changed only if clients would see a difference; a value that is told again unchanged is not. A
token never goes back: who comes from a worker that heard more keeps its number. What is not told again in time is over
(nobody types, offline), so a dead master freezes nothing. Times are passed in, wall clock in ms.
Must not know which rooms or users a client may see.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from hs_common.replication.ephemeral import (
    PRESENCE_REFRESH_MS,
    TYPING_REFRESH_MS,
    Presence,
    Typing,
    decode_message,
    same_presence,
)
from hs_common.replication.ephemeral import Message as Message

UNHEARD: Final = 2.5  # refresh intervals without news of a value, after which it is over
FORGET_MS: Final = 600_000  # how long the end of a value is remembered; older tokens get a full answer


@dataclass
class _Held:
    counter: int
    value: Typing | Presence
    heard_ms: int


@dataclass(frozen=True)
class Changes:
    """What changed after a token: rooms where typing, users whose presence did.

    `is_full`: the token is older than what is known here; besides these, nobody types and all are offline.
    """

    room_ids: list[str]
    user_ids: list[str]
    is_full: bool


class EphemeralView:
    """What one worker knows. `position` is the number for a token: all changes here are at or below it."""

    def __init__(self) -> None:
        self.position = 0
        self._heard = 0
        self._known_after: int | None = None  # all changes above this counter are known
        self._rooms: OrderedDict[str, _Held] = OrderedDict()  # by rising counter of the last change
        self._users: OrderedDict[str, _Held] = OrderedDict()

    def apply(self, counter: int, body: bytes, now_ms: int) -> Message | None:
        """Takes a message of the stream; gives it if clients have something new to see."""
        if counter <= self._heard:
            return None  # a repeat
        self._heard = counter
        # Ends found here have counters of their own: what comes after them must be above them.
        counter = self.position = max(counter, self.position + 1)
        if self._known_after is None:
            self._known_after = counter - 1
        message = decode_message(body)
        if isinstance(message, Typing):
            return message if self._hold(self._rooms, message.room_id, counter, message, now_ms) else None
        if isinstance(message, Presence):
            return message if self._hold(self._users, message.user_id, counter, message, now_ms) else None
        return message

    def typing_in(self, room_id: str) -> tuple[str, ...]:
        """Who types in the room now."""
        held = self._rooms.get(room_id)
        return held.value.user_ids if held is not None and isinstance(held.value, Typing) else ()

    def presence_of(self, user_id: str) -> Presence | None:
        """The user's presence; None: nothing is known, which is offline."""
        held = self._users.get(user_id)
        return held.value if held is not None and isinstance(held.value, Presence) else None

    def changes_since(self, token: int) -> Changes:
        """What a client with this token has not been told. Its next token is `next_token(token)`."""
        if self._known_after is None:
            return Changes([], [], is_full=False)
        is_full = token < self._known_after
        after = -1 if is_full else token
        return Changes(_changed_after(self._rooms, after), _changed_after(self._users, after), is_full)

    def next_token(self, token: int) -> int:
        """The token that goes with `changes_since(token)`."""
        return max(token, self.position)

    def pass_time(self, now_ms: int) -> list[Typing | Presence]:
        """Ends what is not told again in time, and forgets what ended long ago. Gives what has ended."""
        ended: list[Typing | Presence] = []
        for room_id, held in list(self._rooms.items()):
            if self.typing_in(room_id) and now_ms - held.heard_ms > UNHEARD * TYPING_REFRESH_MS:
                ended.append(self._end(self._rooms, room_id, Typing(room_id, ()), now_ms))
        for user_id, held in list(self._users.items()):
            value = held.value
            if not isinstance(value, Presence) or value.presence == "offline":
                continue
            if now_ms - held.heard_ms > UNHEARD * PRESENCE_REFRESH_MS:
                offline = Presence(user_id, "offline", value.last_active_ms, False, value.status_msg)
                ended.append(self._end(self._users, user_id, offline, now_ms))
        self._forget_rooms(now_ms)
        return ended

    def _hold(
        self, held: OrderedDict[str, _Held], key: str, counter: int, value: Typing | Presence, now_ms: int
    ) -> bool:
        old = held.get(key)
        if old is not None and _same(old.value, value):
            old.value, old.heard_ms = value, now_ms
            return False
        held[key] = _Held(counter, value, now_ms)
        held.move_to_end(key)
        return True

    def _end(self, held: OrderedDict[str, _Held], key: str, value: Typing | Presence, now_ms: int) -> Typing | Presence:
        self.position += 1  # so that tokens given out before now see it; the next leader counts from far above
        self._hold(held, key, self.position, value, now_ms)
        return value

    def _forget_rooms(self, now_ms: int) -> None:
        for room_id, held in list(self._rooms.items()):
            if not self.typing_in(room_id) and now_ms - held.heard_ms > FORGET_MS:
                del self._rooms[room_id]
                self._known_after = max(self._known_after or 0, held.counter)


def _same(one: Typing | Presence, other: Typing | Presence) -> bool:
    if isinstance(one, Presence) and isinstance(other, Presence):
        return same_presence(one, other)
    return one == other


def _changed_after(held: OrderedDict[str, _Held], counter: int) -> list[str]:
    """The keys changed after `counter`, the last first: only what changed is looked at."""
    changed: list[str] = []
    for key in reversed(held):
        if held[key].counter <= counter:
            break
        changed.append(key)
    return changed
