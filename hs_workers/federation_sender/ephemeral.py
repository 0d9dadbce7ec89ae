"""Typing, presence and receipts of this server's users, by destination, until the next transaction takes them.

Nothing of it is kept: who is away for a moment misses it, but for receipts, which senders read from the tables then.
What is newer replaces what is older, so a destination that is slow gets what is so now. Pure but for the time. Spec:
server-server-api.md#typing-notifications, #presence, #receipts.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from hs_common.bounded import Bounded
from hs_common.matrix.receipts_edu import READ, Receipt, receipt_edus
from hs_common.replication.ephemeral import Presence, Typing
from hs_common.replication.items import ReceiptItem
from hs_common.storage.queries import Row

EDUS_LIMIT: Final = 20
"""Of one transaction: the rest comes with the next."""
MISSED_LIMIT: Final = 500
"""Receipts of one transaction that were missed: of a server that was away there may be many, and they are short."""
KEPT_LIMIT: Final = 1_000
"""Of one destination; the oldest are dropped, as a server that is so far behind shows nothing live anyway. Receipts are
read from the tables then."""
TYPES_ON_MS: Final = 20_000
"""After so long it is said again that somebody types, since other servers take who says nothing to have stopped."""
ROOMS_LIMIT: Final = 50_000
"""Rooms whose typists are remembered, so that who stopped is noticed."""

PRESENT_LIMIT: Final = 5_000
"""Users of this server whose presence is remembered, so that servers which come to share a room are told of it."""

RECEIPT: Final = "receipt"
"""The first part of a receipt's key."""

Edu = dict[str, Any]


class EphemeralLane:
    """Takes what the streams tell, hands it out by destination. `now_ms` is the time of day."""

    def __init__(self, suffix: str, limit: int = EDUS_LIMIT) -> None:
        self._suffix = suffix
        self.limit = limit  # of one transaction
        self._waiting: dict[str, dict[tuple[str, ...], Edu]] = {}
        self._dropped: set[str] = set()  # destinations of which a receipt was dropped
        self._typists = Bounded[str, dict[str, int]](ROOMS_LIMIT)  # by room and user: when it was told
        self._present = Bounded[str, Presence](PRESENT_LIMIT)  # who is not offline, who changed last at the end

    def typing(self, message: Typing, now_ms: int) -> list[tuple[tuple[str, ...], Edu]]:
        """What a room's typists changed to, one EDU for each user of ours who began or stopped."""
        local = {user_id for user_id in message.user_ids if user_id.endswith(self._suffix)}
        before = self._typists.pop(message.room_id, {})
        if local:
            self._typists[message.room_id] = {user_id: before.get(user_id, now_ms) for user_id in local}
        return [
            (("typing", message.room_id, user_id), _typing(message.room_id, user_id, user_id in local))
            for user_id in sorted(local ^ before.keys())
        ]

    def typing_on(self, now_ms: int) -> list[tuple[str, tuple[str, ...], Edu]]:
        """Who has typed for so long that it has to be said again: (room, key, EDU)."""
        again: list[tuple[str, tuple[str, ...], Edu]] = []
        for room_id, typists in self._typists.items():
            for user_id in sorted(user_id for user_id, told in typists.items() if now_ms - told >= TYPES_ON_MS):
                typists[user_id] = now_ms
                again.append((room_id, ("typing", room_id, user_id), _typing(room_id, user_id, True)))
        return again

    def presence(self, message: Presence, now_ms: int) -> tuple[tuple[str, ...], Edu] | None:
        """A user's presence; None for users of others."""
        if not message.user_id.endswith(self._suffix):
            return None
        self._present.pop(message.user_id, None)
        if message.presence != "offline":
            self._present[message.user_id] = message
        return _presence(message, now_ms)

    @property
    def present(self) -> list[str]:
        """Users of this server who are not offline."""
        return list(self._present)

    def presence_of(self, user_id: str, now_ms: int) -> tuple[tuple[str, ...], Edu] | None:
        """The presence of a user of ours who is not offline."""
        message = self._present.get(user_id)
        return None if message is None else _presence(message, now_ms)

    def receipt(self, item: ReceiptItem) -> tuple[tuple[str, ...], Edu] | None:
        """A public receipt of a user of ours; None for others."""
        if item.receipt_type != "m.read" or not item.user_id.endswith(self._suffix):
            return None
        key = (RECEIPT, item.room_id, item.user_id, item.thread_id)
        return key, receipt_edu(item.room_id, item.user_id, item.thread_id, item.event_id, item.ts)

    def put(self, destinations: Iterable[str], key: tuple[str, ...], edu: Edu) -> None:
        for destination in destinations:
            waiting = self._waiting.setdefault(destination, {})
            waiting.pop(key, None)
            waiting[key] = edu
            while len(waiting) > KEPT_LIMIT:
                oldest = next(iter(waiting))
                del waiting[oldest]
                if oldest[0] == RECEIPT:
                    self._dropped.add(destination)

    def has_dropped_receipts(self, destination: str) -> bool:
        """Whether receipts did not find room since this was asked last."""
        has_dropped = destination in self._dropped
        self._dropped.discard(destination)
        return has_dropped

    def has(self, destination: str) -> bool:
        return destination in self._waiting

    def take(self, destination: str, most: int = EDUS_LIMIT) -> list[Edu]:
        """The oldest that wait; they are not given a second time."""
        waiting = self._waiting.get(destination)
        if not waiting:
            return []
        keys = list(waiting)[: min(most, self.limit)]
        taken = [waiting.pop(key) for key in keys]
        if not waiting:
            del self._waiting[destination]
        return taken

    def drop_receipt(self, destination: str, row: Row) -> None:
        """It is told as it stands in the tables (`missed_receipts`), unless a newer one has come."""
        waiting, key = self._waiting.get(destination, {}), (RECEIPT, *row[1:4])
        if waiting.get(key) == receipt_edu(*row[1:]):
            del waiting[key]
            if not waiting:
                del self._waiting[destination]

    def forget(self, destination: str) -> None:
        """It cannot be reached, or is another worker's."""
        self._waiting.pop(destination, None)
        self._dropped.discard(destination)


def missed_receipts(rows: Sequence[Row]) -> tuple[list[Edu], int]:
    """Receipts that were read from the tables, those of a thread in one EDU; and how many of the rows fit."""
    fitting: list[Receipt] = []
    threads: set[str] = set()
    for _, room_id, user_id, thread_id, event_id, ts in rows:
        threads.add(thread_id)
        if len(threads) > EDUS_LIMIT:
            break
        fitting.append(Receipt(room_id, READ, user_id, event_id, ts, thread_id or None))
    return [{"edu_type": "m.receipt", "content": content} for content in receipt_edus(fitting)], len(fitting)


def receipt_edu(room_id: str, user_id: str, thread_id: str, event_id: str, ts: int) -> Edu:
    """What a user has read; `thread_id` is empty for what is in no thread."""
    data: dict[str, Any] = {"ts": ts}
    if thread_id:
        data["thread_id"] = thread_id
    receipt = {user_id: {"data": data, "event_ids": [event_id]}}
    return {"edu_type": "m.receipt", "content": {room_id: {"m.read": receipt}}}


def _presence(message: Presence, now_ms: int) -> tuple[tuple[str, ...], Edu]:
    push: dict[str, Any] = {
        "user_id": message.user_id,
        "presence": message.presence,
        "last_active_ago": max(0, now_ms - message.last_active_ms),
        "currently_active": message.currently_active,
    }
    if message.status_msg is not None:
        push["status_msg"] = message.status_msg
    return ("presence", message.user_id), {"edu_type": "m.presence", "content": {"push": [push]}}


def _typing(room_id: str, user_id: str, is_typing: bool) -> Edu:
    return {"edu_type": "m.typing", "content": {"room_id": room_id, "user_id": user_id, "typing": is_typing}}
