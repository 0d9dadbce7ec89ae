"""Typing, presence and receipts of this server's users, by destination, until the next transaction takes them.

Nothing of it is kept: who is away for a moment misses it. What is newer replaces what is older, so a destination that
is slow gets what is so now. Pure but for the time. Spec: server-server-api.md#typing-notifications, #presence,
#receipts.
"""

from collections.abc import Iterable
from typing import Any, Final

from hs_common.replication.ephemeral import Presence, Typing
from hs_common.replication.items import ReceiptItem

EDUS_LIMIT: Final = 20
"""Of one transaction: the rest comes with the next."""
KEPT_LIMIT: Final = 1_000
"""Of one destination; the oldest are dropped, as a server that is so far behind shows nothing live anyway."""
ROOMS_LIMIT: Final = 50_000
"""Rooms whose typists are remembered, so that who stopped is noticed."""

Edu = dict[str, Any]


class EphemeralLane:
    """Takes what the streams tell, hands it out by destination. `now_ms` is the time of day."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._waiting: dict[str, dict[tuple[str, ...], Edu]] = {}
        self._typists: dict[str, frozenset[str]] = {}

    def typing(self, message: Typing) -> list[tuple[tuple[str, ...], Edu]]:
        """What a room's typists changed to, one EDU for each user of ours who began or stopped."""
        local = frozenset(user_id for user_id in message.user_ids if user_id.endswith(self._suffix))
        before = self._typists.pop(message.room_id, frozenset())
        if local:
            self._typists[message.room_id] = local
            while len(self._typists) > ROOMS_LIMIT:
                del self._typists[next(iter(self._typists))]
        return [
            (("typing", message.room_id, user_id), _typing(message.room_id, user_id, user_id in local))
            for user_id in sorted(local ^ before)
        ]

    def presence(self, message: Presence, now_ms: int) -> tuple[tuple[str, ...], Edu] | None:
        """A user's presence; None for users of others."""
        if not message.user_id.endswith(self._suffix):
            return None
        push: dict[str, Any] = {
            "user_id": message.user_id,
            "presence": message.presence,
            "last_active_ago": max(0, now_ms - message.last_active_ms),
            "currently_active": message.currently_active,
        }
        if message.status_msg is not None:
            push["status_msg"] = message.status_msg
        return ("presence", message.user_id), {"edu_type": "m.presence", "content": {"push": [push]}}

    def receipt(self, item: ReceiptItem) -> tuple[tuple[str, ...], Edu] | None:
        """A public receipt of a user of ours; None for others."""
        if item.receipt_type != "m.read" or not item.user_id.endswith(self._suffix):
            return None
        data: dict[str, Any] = {"ts": item.ts}
        if item.thread_id:
            data["thread_id"] = item.thread_id
        receipt = {item.user_id: {"data": data, "event_ids": [item.event_id]}}
        content = {item.room_id: {"m.read": receipt}}
        key = ("receipt", item.room_id, item.user_id, item.thread_id)
        return key, {"edu_type": "m.receipt", "content": content}

    def put(self, destinations: Iterable[str], key: tuple[str, ...], edu: Edu) -> None:
        for destination in destinations:
            waiting = self._waiting.setdefault(destination, {})
            waiting.pop(key, None)
            waiting[key] = edu
            while len(waiting) > KEPT_LIMIT:
                del waiting[next(iter(waiting))]

    def has(self, destination: str) -> bool:
        return destination in self._waiting

    def take(self, destination: str) -> list[Edu]:
        """The oldest that wait; they are not given a second time."""
        waiting = self._waiting.get(destination)
        if not waiting:
            return []
        keys = list(waiting)[:EDUS_LIMIT]
        taken = [waiting.pop(key) for key in keys]
        if not waiting:
            del self._waiting[destination]
        return taken

    def forget(self, destination: str) -> None:
        """It cannot be reached, or is another worker's."""
        self._waiting.pop(destination, None)


def _typing(room_id: str, user_id: str, is_typing: bool) -> Edu:
    return {"edu_type": "m.typing", "content": {"room_id": room_id, "user_id": user_id, "typing": is_typing}}
