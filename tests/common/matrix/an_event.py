"""One function that makes an event for tests, of which only what matters is said."""

from typing import Any

from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS

ROOM = "!room:example.org"


def an_event(
    event_type: str = "m.room.message",
    content: dict[str, Any] | None = None,
    *,
    event_id: str = "$event",
    room_id: str = ROOM,
    sender: str = "@alice:example.org",
    state_key: str | None = None,
    origin_server_ts: int = 1000,
    version: str = "11",
    **top_level: Any,
) -> Event:
    """An event with this id; `top_level` are further keys of the PDU."""
    pdu: dict[str, Any] = {
        "auth_events": [],
        "content": {} if content is None else content,
        "depth": 5,
        "hashes": {"sha256": "hash"},
        "origin_server_ts": origin_server_ts,
        "prev_events": [],
        "room_id": room_id,
        "sender": sender,
        "signatures": {},
        "type": event_type,
        **top_level,
    }
    if state_key is not None:
        pdu["state_key"] = state_key
    return Event.from_pdu(pdu, ROOM_VERSIONS[version], event_id)
