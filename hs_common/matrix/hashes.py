"""Hashes of events: the content hash, the reference hash, and the ids made of it.

The bytes under the reference hash are also the bytes that are signed (`redacted_bytes`): whoever needs both encodes
once.

Spec: server-server API, #calculating-the-content-hash-for-an-event and #calculating-the-reference-hash-for-an-event;
rooms/v3, v4 and v12, #event-ids.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from hs_common.matrix import base64, canonical_json
from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import RoomVersion

_NOT_IN_CONTENT_HASH = frozenset({"hashes", "signatures", "unsigned"})


def encode(value: Mapping[str, Any], room_version: RoomVersion) -> bytes:
    """The bytes of an event or of a part of one, as its room version has them."""
    if room_version.enforce_canonical_json:
        return canonical_json.encode(value)
    return canonical_json.encode_lenient(value)


def content_hash(pdu: Mapping[str, Any], room_version: RoomVersion) -> bytes:
    """SHA-256 over the complete event without `hashes`, `signatures` and `unsigned`."""
    covered = {key: value for key, value in pdu.items() if key not in _NOT_IN_CONTENT_HASH}
    return sha256(encode(covered, room_version)).digest()


def content_hash_matches(pdu: Mapping[str, Any], room_version: RoomVersion) -> bool:
    """Whether `hashes.sha256` is the content hash. If not, only the redacted copy of the event may be used."""
    claimed = pdu["hashes"].get("sha256")
    if not isinstance(claimed, str):
        return False
    try:
        return base64.decode(claimed) == content_hash(pdu, room_version)
    except ValueError:
        return False


def redacted_bytes(pdu: Mapping[str, Any], room_version: RoomVersion) -> bytes:
    """The redacted event without `signatures` and `unsigned`: what is signed, and what the reference hash covers."""
    redacted = redact(pdu, room_version)
    redacted.pop("signatures", None)
    return encode(redacted, room_version)


def reference_hash(pdu: Mapping[str, Any], room_version: RoomVersion) -> bytes:
    """SHA-256 over the redacted event."""
    return sha256(redacted_bytes(pdu, room_version)).digest()


def event_id(pdu: Mapping[str, Any], room_version: RoomVersion) -> str:
    """The id of an event: the PDU's own in versions 1 and 2, after that "$" and the reference hash."""
    if not room_version.event_id_is_hash:
        own: str = pdu["event_id"]
        return own
    return event_id_of_bytes(redacted_bytes(pdu, room_version), room_version)


def event_id_of_bytes(redacted: bytes, room_version: RoomVersion) -> str:
    """The event id, given `redacted_bytes`, in versions where it is a hash."""
    assert room_version.event_id_is_hash, "the event id of this version is not a hash"
    digest = sha256(redacted).digest()
    return "$" + (base64.encode_url_safe(digest) if room_version.event_id_url_safe else base64.encode(digest))


def room_id(pdu: Mapping[str, Any], room_version: RoomVersion, event_id: str) -> str:
    """The room of an event, given its id. The create event of a version 12 room has no `room_id`: its hash is it."""
    if room_version.room_id_is_create_hash and pdu["type"] == "m.room.create" and "room_id" not in pdu:
        return "!" + event_id[1:]
    own: str = pdu["room_id"]
    return own
