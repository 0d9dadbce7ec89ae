"""What a push gateway is told: the body of /_matrix/push/v1/notify. Pure.

Of an event a gateway learns no more than the pusher's format and the operator let it. Counts of zero are left out,
but where a count is all there is to tell.

Spec: push-gateway-api/#post_matrixpushv1notify.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hs_common.storage.pushers import Pusher

EVENT_ID_ONLY: Final = "event_id_only"
HIGH, LOW = "high", "low"


@dataclass(frozen=True, slots=True)
class PushedEvent:
    """An event and the names of where it is and whom it is from, as they are now."""

    event_id: str
    room_id: str
    type: str
    sender: str
    state_key: str | None
    content: Mapping[str, Any]
    sender_display_name: str | None = None
    room_name: str | None = None
    room_alias: str | None = None


def event_notification(
    pusher: Pusher,
    event: PushedEvent,
    tweaks: Mapping[str, Any],
    unread: int,
    missed_calls: int,
    *,
    include_content: bool,
) -> dict[str, Any]:
    """Tells of an event, and of the counts with it."""
    is_bare = pusher.data.get("format") == EVENT_ID_ONLY
    notification: dict[str, Any] = {"event_id": event.event_id, "room_id": event.room_id}
    if not is_bare:
        notification |= _described(pusher, event, include_content=include_content)
    notification["prio"] = _priority(event, tweaks)
    notification["counts"] = _counts(unread, missed_calls)
    notification["devices"] = [_device(pusher, {} if is_bare else tweaks)]
    return {"notification": notification}


def counts_notification(pusher: Pusher, unread: int, missed_calls: int) -> dict[str, Any]:
    """Tells of the counts alone. A count of zero must be told here, or no badge would ever go away."""
    counts = {"unread": unread, **_counts(0, missed_calls)}
    return {"notification": {"prio": LOW, "counts": counts, "devices": [_device(pusher, {})]}}


def _described(pusher: Pusher, event: PushedEvent, *, include_content: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": event.type,
        "sender": event.sender,
        "sender_display_name": event.sender_display_name,
        "room_name": event.room_name,
        "room_alias": event.room_alias,
        "content": event.content if include_content else None,
    }
    if event.type == "m.room.member":
        fields["user_is_target"] = event.state_key == pusher.user_id
    return {name: value for name, value in fields.items() if value is not None}


def _priority(event: PushedEvent, tweaks: Mapping[str, Any]) -> str:
    """Whether to wake a phone at once: what rings or is highlighted, and what nobody here can read."""
    if tweaks.get("sound") or tweaks.get("highlight") or event.type == "m.room.encrypted":
        return HIGH
    return LOW


def _counts(unread: int, missed_calls: int) -> dict[str, int]:
    return {name: count for name, count in (("unread", unread), ("missed_calls", missed_calls)) if count}


def _device(pusher: Pusher, tweaks: Mapping[str, Any]) -> dict[str, Any]:
    device: dict[str, Any] = {
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "pushkey_ts": pusher.set_ms // 1000,
        "data": {name: value for name, value in pusher.data.items() if name != "url"},
    }
    if tweaks:
        device["tweaks"] = dict(tweaks)
    return device
