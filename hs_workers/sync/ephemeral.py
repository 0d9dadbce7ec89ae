"""What an answer tells of typing and presence, from what this process knows of them. Pure.

Spec: client-server API, #typing-notifications, #presence.
"""

from collections.abc import Collection, Iterable
from typing import Any

from hs_common.matrix.tokens import SyncToken
from hs_common.replication.ephemeral import Presence
from hs_common.replication.ephemeral_view import Changes, EphemeralView

OFFLINE = "offline"


def counter_of(token: SyncToken | None) -> int:
    """The place in the ephemeral stream that a token stands for."""
    return 0 if token is None else token.ephemeral[0]


def with_counter(position: int, to_device: int, counter: int) -> SyncToken:
    """The token of an answer that told all ephemeral changes up to `counter`."""
    return SyncToken(position, to_device, (counter, 0))


def typing_events(
    view: EphemeralView,
    changes: Changes,
    rooms: Iterable[str],
    fresh: Collection[str],
    *,
    was_told: bool,
    ignored: Collection[str],
) -> dict[str, dict[str, Any]]:
    """The `m.typing` events of joined rooms: where it changed; where the client is told of the room anew, who types.
    Nobody who is `ignored` is in them.

    When the token is older than what is known here, a client that `was_told` of typing before may show people who
    stopped since.
    """
    changed = set(changes.room_ids)
    told = {}
    for room_id in rooms:
        user_ids = [user_id for user_id in view.typing_in(room_id) if user_id not in ignored]
        is_stale = changes.is_full and was_told
        if (user_ids and room_id in fresh) or (room_id in changed and room_id not in fresh) or is_stale:
            told[room_id] = {"type": "m.typing", "content": {"user_ids": user_ids}}
    return told


def presence_event(presence: Presence, now_ms: int) -> dict[str, Any]:
    """The `m.presence` event of a user."""
    content: dict[str, Any] = {"presence": presence.presence, "currently_active": presence.currently_active}
    if presence.last_active_ms > 0:
        content["last_active_ago"] = max(0, now_ms - presence.last_active_ms)
    if presence.status_msg is not None:
        content["status_msg"] = presence.status_msg
    return {"type": "m.presence", "sender": presence.user_id, "content": content}


def presence_events(
    view: EphemeralView, user_ids: Iterable[str], now_ms: int, *, incremental: bool
) -> list[dict[str, Any]]:
    """Of users whom the reader may watch. A first answer leaves out who is offline: that is what is assumed."""
    known = [presence for user_id in user_ids if (presence := view.presence_of(user_id)) is not None]
    return [presence_event(one, now_ms) for one in known if incremental or one.presence != OFFLINE]
