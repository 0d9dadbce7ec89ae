"""Receipts: their checks, and the two formats in which they travel.

Between servers a receipt EDU maps room → type → user → the event; to clients the `m.receipt` event of a room maps event
→ type → user → data. Only `m.read` is federated.

Spec: client-server API, #receipts; server-server API, #receipts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

READ = "m.read"
READ_PRIVATE = "m.read.private"
# The thread id of events that are in no thread.
MAIN = "main"

# Receipts taken from one EDU: it is one of at most 100 in a transaction, and each receipt is a row.
MAX_RECEIPTS = 1000
_MAX_IDENTIFIER_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Receipt:
    """A user has read a room, or one thread of it, up to an event."""

    room_id: str
    receipt_type: str
    user_id: str
    event_id: str
    ts: int
    # None: the receipt is unthreaded; else MAIN or the thread's root.
    thread_id: str | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The receipt's metadata, the same in both formats."""
        return {"ts": self.ts} if self.thread_id is None else {"ts": self.ts, "thread_id": self.thread_id}


def parse_receipt_edu(content: object, origin: str) -> list[Receipt]:
    """The receipts of an m.receipt EDU of a server, which speaks for its own users only. Malformed ones are ignored."""
    receipts = [
        receipt
        for room_id, types in _items(content)
        for user_id, value in _items(_mapping(types).get(READ))
        if room_id.startswith("!") and user_id.startswith("@") and user_id.partition(":")[2] == origin
        for receipt in _receipt(room_id, user_id, _mapping(value))
    ]
    return receipts[:MAX_RECEIPTS]


def receipt_edus(receipts: Iterable[Receipt]) -> list[dict[str, Any]]:
    """The contents of the EDUs that tell public receipts to other servers, one for each thread.

    An EDU has room for one receipt of a user in a room. Of several in one thread the last one given is told.
    """
    contents: dict[str | None, dict[str, Any]] = {}
    for receipt in receipts:
        assert receipt.receipt_type == READ, "private receipts stay here"
        content = contents.setdefault(receipt.thread_id, {})
        users = content.setdefault(receipt.room_id, {}).setdefault(READ, {})
        users[receipt.user_id] = {"event_ids": [receipt.event_id], "data": receipt.data}
    return list(contents.values())


def receipt_events(receipts: Iterable[Receipt], reader: str) -> list[dict[str, Any]]:
    """The `m.receipt` events of one room for a reader, without the private receipts of others.

    "Receipts SHOULD be batched into one event per room and thread": an event has room for one receipt of each type,
    user and event id, and the same event may be read in the main timeline and unthreaded.
    """
    contents: dict[str | None, dict[str, Any]] = {}
    for receipt in receipts:
        if receipt.receipt_type != READ_PRIVATE or receipt.user_id == reader:
            content = contents.setdefault(receipt.thread_id, {})
            users = content.setdefault(receipt.event_id, {}).setdefault(receipt.receipt_type, {})
            users[receipt.user_id] = receipt.data
    return [{"type": "m.receipt", "content": content} for content in contents.values()]


def _receipt(room_id: str, user_id: str, value: Mapping[str, Any]) -> list[Receipt]:
    event_ids, data = value.get("event_ids"), _mapping(value.get("data"))
    ts, thread_id = data.get("ts"), data.get("thread_id")
    if not isinstance(event_ids, list) or len(event_ids) != 1 or not _is_identifier(event_ids[0]):
        return []
    if not isinstance(ts, int) or isinstance(ts, bool):
        return []
    if thread_id is not None and not _is_identifier(thread_id):
        return []
    return [Receipt(room_id, READ, user_id, event_ids[0], ts, thread_id)]


def _is_identifier(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_IDENTIFIER_LENGTH


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> Iterable[tuple[str, Any]]:
    return _mapping(value).items()
