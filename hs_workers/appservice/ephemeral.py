"""The lane of what is not kept: typing, presence and receipts for services that want them, the newest value of each.

Who is interested is asked of the database for all that came up in a short while together. Bounded: a service that
is away for long gets what is true then, not what was in between. Lost with the process, as by its nature it may be.

Spec: application-service-api/#pushing-ephemeral-data.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from hs_common.bounded import Bounded
from hs_common.matrix.appservice import Services
from hs_common.matrix.receipts_edu import READ_PRIVATE, Receipt
from hs_common.replication.ephemeral import Message, Presence, Typing
from hs_common.replication.items import ReceiptItem
from hs_common.storage import appservices
from hs_common.storage.queries import Queries

GATHER_S: Final = 0.1
"""What comes up within this time costs one look-up."""
KEPT_LIMIT: Final = 1_000
"""Values kept for one service, the newest of them."""
UNSORTED_LIMIT: Final = 10_000
"""Values whose services are not known yet; beyond it the oldest are dropped."""

_Key = tuple[str, ...]
_Value = Typing | Presence | ReceiptItem


class EphemeralLane:
    """`hears` says which services want ephemeral events at all and are sent to from here."""

    def __init__(self, db: Queries, services: Callable[[], Services], hears: Callable[[], set[str]]) -> None:
        self._db = db
        self._services = services
        self._hears = hears
        self._unsorted = Bounded[_Key, _Value](UNSORTED_LIMIT)
        self._kept: dict[str, Bounded[_Key, _Value]] = {}
        self.now_ms: Callable[[], int] = lambda: 0

    def heard(self, message: Message | ReceiptItem) -> bool:
        """Takes a value; whether it is worth looking for who wants it."""
        if not self._hears() or not isinstance(message, Typing | Presence | ReceiptItem):
            return False
        self._unsorted[_key(message)] = message
        return True

    def take(self, service_id: str) -> str | None:
        """What is there for a service, as a JSON array."""
        kept = self._kept.pop(service_id, None)
        if not kept:
            return None
        return orjson.dumps(_events(kept.values(), self.now_ms())).decode()

    def forget(self, service_id: str) -> None:
        self._kept.pop(service_id, None)

    async def sort(self) -> set[str]:
        """Gives what came up to the services that are interested in it; answers which have something new."""
        unsorted, self._unsorted = self._unsorted, Bounded(UNSORTED_LIMIT)
        hears = self._hears()
        if not unsorted or not hears:
            return set()
        rooms = {value.room_id for value in unsorted.values() if not isinstance(value, Presence)}
        users = {value.user_id for value in unsorted.values() if isinstance(value, Presence)}
        by_room = _grouped(await appservices.interested_in_rooms(self._db, sorted(rooms)) if rooms else ())
        by_user = _grouped(await appservices.sharing_rooms_with(self._db, sorted(users)) if users else ())
        services = self._services()
        told: set[str] = set()
        for key, value in unsorted.items():
            for service_id in hears & _interested(value, by_room, by_user, services):
                self._kept.setdefault(service_id, Bounded(KEPT_LIMIT))[key] = value
                told.add(service_id)
        return told


def _key(value: _Value) -> _Key:
    if isinstance(value, Typing):
        return ("typing", value.room_id)
    if isinstance(value, Presence):
        return ("presence", value.user_id)
    return ("receipt", value.room_id, value.user_id, value.receipt_type, value.thread_id)


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key, service_id in rows:
        found.setdefault(key, set()).add(service_id)
    return found


def _interested(
    value: _Value, by_room: dict[str, set[str]], by_user: dict[str, set[str]], services: Services
) -> set[str]:
    if isinstance(value, Presence):
        return by_user.get(value.user_id, set()) | set(services.interested_in_user(value.user_id))
    interested = by_room.get(value.room_id, set())
    if isinstance(value, ReceiptItem) and value.receipt_type == READ_PRIVATE:
        # Private receipts are for those services alone that could have sent them.
        return interested & set(services.interested_in_user(value.user_id))
    return interested


def _events(values: Iterable[_Value], now_ms: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    receipts: dict[tuple[str, str], dict[str, Any]] = {}
    for value in values:
        if isinstance(value, Typing):
            content: dict[str, Any] = {"user_ids": list(value.user_ids)}
            events.append({"type": "m.typing", "room_id": value.room_id, "content": content})
        elif isinstance(value, Presence):
            events.append({"type": "m.presence", "sender": value.user_id, "content": _presence(value, now_ms)})
        else:
            # One event per room and thread: the same event may be read in a thread and outside of it.
            content = receipts.setdefault((value.room_id, value.thread_id), {})
            receipt = Receipt(
                value.room_id, value.receipt_type, value.user_id, value.event_id, value.ts, value.thread_id or None
            )
            content.setdefault(value.event_id, {}).setdefault(value.receipt_type, {})[value.user_id] = receipt.data
    for (room_id, _), content in receipts.items():
        events.append({"type": "m.receipt", "room_id": room_id, "content": content})
    return events


def _presence(value: Presence, now_ms: int) -> dict[str, Any]:
    content: dict[str, Any] = {"presence": value.presence}
    if value.last_active_ms:
        content["last_active_ago"] = max(0, now_ms - value.last_active_ms)
    if value.presence == "online":
        content["currently_active"] = value.currently_active
    if value.status_msg is not None:
        content["status_msg"] = value.status_msg
    return content
