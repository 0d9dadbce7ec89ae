"""An answer as it is put together: everything that was read, and the body made of it. Pure.

Rooms and keys that have nothing to tell are left out; an answer without news is nearly empty, `has_news` is False.

Spec: client-server API, #get_matrixclientv3sync.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from hs_common.matrix.filters import Filter
from hs_common.matrix.receipts_edu import Receipt, receipt_events
from hs_common.matrix.tokens import SyncToken
from hs_common.reading.unread import RoomUnread
from hs_workers.sync.windows import Membership, Window

Json = dict[str, Any]
Events = Sequence[Json | orjson.Fragment]


@dataclass(slots=True)
class RoomParts:
    """What is told of one joined or left room."""

    window: Window
    timeline: Events = ()
    limited: bool = False
    prev_batch: str = ""
    state: Events = ()
    summary: Json | None = None
    receipts: Sequence[Receipt] = ()
    typing: Json | None = None
    account_data: Sequence[tuple[str, str | bytes]] = ()
    unread: RoomUnread | None = None
    is_news: bool = False  # told even if all the parts are empty


@dataclass(slots=True)
class Parts:
    """What is told in all."""

    rooms: list[RoomParts] = field(default_factory=list)
    invites: Sequence[Membership] = ()
    knocks: Sequence[Membership] = ()
    account_data: Events = ()
    presence: Events = ()
    one_time_keys: Mapping[str, int] = field(default_factory=dict)
    fallback_keys: Sequence[str] = ()
    device_lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    to_device: Events = ()
    is_news: bool = False  # told even if nothing else is


class Answer(NamedTuple):
    """A finished answer."""

    body: bytes
    has_news: bool
    next_batch: SyncToken


def assemble(
    parts: Parts, next_batch: SyncToken, filter: Filter, reader: str, *, use_state_after: bool, incremental: bool
) -> Answer:
    """The body of the answer."""
    rooms: dict[str, dict[str, Json]] = {"join": {}, "invite": {}, "knock": {}, "leave": {}}
    for room in parts.rooms:
        told = _room(room, filter, reader, use_state_after)
        if told is not None:
            rooms["leave" if room.window.is_left else "join"][room.window.room_id] = told
    rooms["invite"] = {row.room_id: _asked("invite_state", row) for row in parts.invites}
    rooms["knock"] = {row.room_id: _asked("knock_state", row) for row in parts.knocks}
    body: Json = {"next_batch": str(next_batch)}
    told_rooms = {section: found for section, found in rooms.items() if found}
    if told_rooms:
        body["rooms"] = told_rooms
    for key, events in (
        ("account_data", parts.account_data), ("presence", parts.presence), ("to_device", parts.to_device)
    ):  # fmt: skip
        if events:
            body[key] = {"events": events}
    if any(parts.device_lists.values()):
        body["device_lists"] = {"changed": [], "left": [], **parts.device_lists}
    has_news = parts.is_news or len(body) > 1
    body["device_one_time_keys_count"] = dict(parts.one_time_keys)
    body["device_unused_fallback_key_types"] = list(parts.fallback_keys)
    if incremental:
        body.setdefault("device_lists", {"changed": [], "left": []})
    return Answer(orjson.dumps(body), has_news, next_batch)


def _asked(key: str, row: Membership) -> Json:
    """An invited room or one knocked upon."""
    return {key: {"events": orjson.Fragment(row.stripped_state or "[]")}}


def _room(room: RoomParts, filter: Filter, reader: str, use_state_after: bool) -> Json | None:
    """What is told of a room; None for nothing."""
    ephemeral = _ephemeral(room, filter, reader)
    account_data = _account_data(room, filter)
    news = (room.timeline, room.limited, room.state, room.summary, ephemeral, account_data, room.is_news)
    if not any(news):
        return None
    told: Json = {
        "timeline": {"events": room.timeline, "limited": room.limited, "prev_batch": room.prev_batch},
        "state_after" if use_state_after else "state": {"events": room.state},
        "account_data": {"events": account_data},
    }
    if room.window.is_left:
        return told
    told["ephemeral"] = {"events": ephemeral}
    if room.summary is not None:
        told["summary"] = room.summary
    if room.unread is not None:
        told.update(room.unread.summary(filter.room.timeline.unread_thread_notifications))
    return told


def _ephemeral(room: RoomParts, filter: Filter, reader: str) -> list[Json]:
    wanted = filter.room.ephemeral
    if not wanted.rooms.allows(room.window.room_id):
        return []
    events = [] if room.typing is None or not wanted.types.allows("m.typing") else [room.typing]
    if room.receipts and wanted.types.allows("m.receipt"):
        events += receipt_events([receipt for receipt in room.receipts if _wants(wanted, receipt)], reader)
    return events


def _wants(wanted: Any, receipt: Receipt) -> bool:
    allows: bool = wanted.senders.allows(receipt.user_id)
    return allows


def _account_data(room: RoomParts, filter: Filter) -> list[Json]:
    wanted = filter.room.account_data
    if not wanted.rooms.allows(room.window.room_id):
        return []
    return [account_data_event(kind, content) for kind, content in room.account_data if wanted.allows(kind, None)]


def account_data_event(data_type: str, content: str | bytes) -> Json:
    """An event of account data."""
    return {"type": data_type, "content": orjson.Fragment(content)}
