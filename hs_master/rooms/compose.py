"""Station: from what a user intends to a complete event. Chooses prev events, depth and auth events from the room as
decided so far, checks the authorisation rules, hashes and signs.

Local events are linear: the next one is composed on top of this one, so local traffic never forks a room.
Spec: server-server-api.md#pdus, rooms/v12.md#event-format.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from hs_common.matrix import auth_rules, limits
from hs_common.matrix.canonical_json import check
from hs_common.matrix.errors import MatrixError, bad_json, forbidden, too_large
from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import RoomVersion
from hs_common.matrix.seal import seal
from hs_common.matrix.signing import SigningKey
from hs_common.replication.calls import Intent
from hs_master.rooms.head import CurrentState, Held


class Composed(msgspec.Struct, frozen=True):
    """An event of this server, complete, and its canonical JSON."""

    event: Event
    encoded: bytes


class Composer:
    """Composes and signs events of local users."""

    def __init__(self, server_name: str, key: SigningKey, new_event_id: Callable[[], str]) -> None:
        """`new_event_id` makes the random ids that room versions 1 and 2 need."""
        self._server_name = server_name
        self._key = key
        self._new_event_id = new_event_id

    def compose(self, intent: Intent, room: Held, now_ms: int) -> Composed:
        """The event that the intent becomes next in the room.

        Raises MatrixError: M_FORBIDDEN by the authorisation rules, M_TOO_LARGE, M_BAD_JSON.
        """
        _check_sizes(intent)
        pdu, draft = self._authorised(intent, room, now_ms)
        sealed = seal(pdu, room.version, self._server_name, self._key)
        if len(sealed.encoded) > limits.MAX_EVENT_BYTES:
            raise too_large(f"The event would have {len(sealed.encoded)} bytes, the limit is {limits.MAX_EVENT_BYTES}")
        event = msgspec.structs.replace(draft, event_id=sealed.event_id, room_id=sealed.room_id, pdu=sealed.pdu)
        return Composed(event, sealed.encoded)

    def seal(self, pdu: dict[str, Any], version: RoomVersion, chosen_id: str | None) -> Composed:
        """An event outside the event graph, under an id that somebody chose, or (None) its own. Raises M_TOO_LARGE."""
        if not version.event_id_is_hash:
            previous = [[event_id, {}] for event_id in pdu["prev_events"]]
            pdu = {**pdu, "event_id": chosen_id or self._new_event_id(), "prev_events": previous}
        sealed = seal(pdu, version, self._server_name, self._key)
        if len(sealed.encoded) > limits.MAX_EVENT_BYTES:
            raise too_large(f"The event would have {len(sealed.encoded)} bytes, the limit is {limits.MAX_EVENT_BYTES}")
        return Composed(Event.from_pdu(sealed.pdu, version, chosen_id or sealed.event_id), sealed.encoded)

    def template(self, intent: Intent, room: Held, now_ms: int) -> dict[str, Any]:
        """The event as its sender's own server has to hash and sign it. Raises as `compose`."""
        _check_sizes(intent)
        pdu, _ = self._authorised(intent, room, now_ms)
        pdu.pop("event_id", None)  # the one who signs names it
        return pdu

    def _authorised(self, intent: Intent, room: Held, now_ms: int) -> tuple[dict[str, Any], Event]:
        """Refusals are cheap: the rules are checked before anything is hashed or signed."""
        pdu = self._pdu(intent, room, now_ms)
        draft = Event.from_pdu(pdu, room.version, event_id=pdu.get("event_id", "$"))
        try:
            auth_rules.authorise(draft, CurrentState(room))
        except auth_rules.AuthError as error:
            raise forbidden(f"You may not do this: {error.reason}") from error
        return pdu, draft

    def _pdu(self, intent: Intent, room: Held, now_ms: int) -> dict[str, Any]:
        version = room.version
        keys = auth_rules.auth_state_keys(version, intent.type, intent.sender, intent.state_key, intent.content)
        auth_events = [event.event_id for event in map(room.entry, keys) if event is not None]
        pdu: dict[str, Any] = {
            "auth_events": auth_events,
            "prev_events": list(room.extremities),
            "content": intent.content,
            "depth": min(room.depth + 1, limits.MAX_DEPTH),
            "origin_server_ts": now_ms if intent.timestamp_ms is None else intent.timestamp_ms,
            "sender": intent.sender,
            "type": intent.type,
        }
        is_create = intent.type == "m.room.create" and intent.state_key == ""
        if not (is_create and version.room_id_is_create_hash):
            pdu["room_id"] = intent.room_id
        if intent.state_key is not None:
            pdu["state_key"] = intent.state_key
        if intent.redacts is not None:
            if version.redacts_in_content:
                pdu["content"] = {**intent.content, "redacts": intent.redacts}
            else:
                pdu["redacts"] = intent.redacts
        if not version.event_id_is_hash:
            pdu["event_id"] = self._new_event_id()
            # Versions 1 and 2 refer to events by (id, hashes); the hashes may be empty.
            pdu["auth_events"] = [[event_id, {}] for event_id in auth_events]
            pdu["prev_events"] = [[event_id, {}] for event_id in room.extremities]
        return pdu


def _check_sizes(intent: Intent) -> None:
    for name, value in (("type", intent.type), ("state_key", intent.state_key), ("sender", intent.sender)):
        if value is not None and len(value.encode("utf-8", "surrogatepass")) > limits.MAX_ID_BYTES:
            raise too_large(f"`{name}` has more than {limits.MAX_ID_BYTES} bytes")
    try:
        check(intent.content)
        check(intent.type)
        check(intent.state_key)
    except MatrixError:
        raise
    except ValueError as error:
        raise bad_json(f"The event's content cannot be expressed in canonical JSON: {error}") from error
