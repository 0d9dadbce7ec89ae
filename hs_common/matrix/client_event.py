"""Events in the format for clients, as a dict and as bytes with an open tail.

What is the same for every reader is encoded once: `fragment` is a JSON object that is not closed yet. `close` adds what
differs (the room id where it is wanted, `unsigned`) and the brace. A closed event must not be kept: it is one reader's.
The event of a redacted event is that of its redacted PDU (redaction.py).

Spec: client-server API, #room-event-format, ClientEvent, ClientEventWithoutRoomID.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from hs_common.matrix.event import Event

# In the place of the sender's device: the event was sent with a delay, and its transaction id is the delay's (MSC4140).
DELAYED_DEVICE = "\x01delayed"


def client_json(
    event: Event, unsigned: Mapping[str, Any] | None = None, *, with_room_id: bool = True
) -> dict[str, Any]:
    """The ClientEvent, or the ClientEventWithoutRoomID that /sync gives; an empty `unsigned` is left out."""
    formatted = _common(event)
    if with_room_id:
        formatted["room_id"] = event.room_id
    if unsigned:
        formatted["unsigned"] = dict(unsigned)
    return formatted


def fragment(event: Event) -> bytes:
    """The encoded event without room id and `unsigned`, up to before its closing brace."""
    return encode(_common(event))[:-1]


def close(open_event: bytes, unsigned: Mapping[str, Any] | None = None, room_id: str | None = None) -> bytes:
    """The complete event of a fragment: the bytes of `client_json`, in another order of keys."""
    room = b"" if room_id is None else b',"room_id":' + encode(room_id)
    tail = b',"unsigned":' + encode(unsigned) if unsigned else b""
    return open_event + room + tail + b"}"


def federation_json(event: Event, unsigned: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The event as federated, for a client whose filter says `event_format: federation`, with its `unsigned`."""
    formatted = {key: value for key, value in event.pdu.items() if key != "unsigned"}
    if unsigned:
        formatted["unsigned"] = dict(unsigned)
    return formatted


def unsigned_data(
    *,
    age_ms: int | None = None,
    membership: str | None = None,
    transaction_id: str | None = None,
    delay_id: str | None = None,
    replaces_state: str | None = None,
    prev_content: Mapping[str, Any] | None = None,
    redacted_because: Mapping[str, Any] | None = None,
    relations: Mapping[str, Any] | None = None,
    invite_room_state: list[dict[str, Any]] | None = None,
    knock_room_state: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The `unsigned` of an event for one reader, of what is given.

    `membership`: the reader's, at the event. `transaction_id`: only for the device that sent the event. `delay_id`:
    only for its sender. `prev_content`: only if the reader may see the event replaced; `replaces_state` regardless.
    `redacted_because` is in the same format as the event itself. `relations`: the bundled aggregations (relations.py).
    The room states are stripped.
    """
    parts = {
        "age": age_ms,
        "membership": membership,
        "transaction_id": transaction_id,
        "delay_id": delay_id,
        "org.matrix.msc4140.delay_id": delay_id,
        "replaces_state": replaces_state,
        "prev_content": prev_content,
        "redacted_because": redacted_because,
        "m.relations": relations or None,
        "invite_room_state": invite_room_state,
        "knock_room_state": knock_room_state,
    }
    return {key: part for key, part in parts.items() if part is not None}


def encode(value: Any) -> bytes:
    """The JSON of something for clients. Integers and strings that only rooms of versions 1 to 5 may have also pass."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # Integers beyond 64 bits, and lone surrogates, which are written as escapes.
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def _common(event: Event) -> dict[str, Any]:
    formatted: dict[str, Any] = {
        "content": event.content,
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
        "sender": event.sender,
        "type": event.type,
    }
    if event.state_key is not None:
        formatted["state_key"] = event.state_key
    if event.redacts is not None:
        # Wherever the room version has it, clients get it in both places. Spec: rooms/v11,
        # "Moving the redacts property of m.room.redaction events to a content property".
        formatted["redacts"] = event.redacts
        formatted["content"] = {**event.content, "redacts": event.redacts}
    return formatted
