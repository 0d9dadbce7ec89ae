"""Hashes of events: the content hash, the reference hash, and the ids made of it.

Spec: server-server API, #calculating-the-content-hash-for-an-event and #calculating-the-reference-hash-for-an-event.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from hs_common.matrix import base64, canonical_json
from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import RoomVersion


def event_id(pdu: Mapping[str, Any], room_version: RoomVersion) -> str:
    """The id of an event: the PDU's own in versions 1 and 2, after that "$" and the reference hash."""
    if not room_version.event_id_is_hash:
        own: str = pdu["event_id"]
        return own
    redacted = redact(pdu, room_version)
    redacted.pop("signatures", None)
    digest = sha256(canonical_json.encode(redacted)).digest()
    return "$" + (base64.encode_url_safe(digest) if room_version.event_id_url_safe else base64.encode(digest))
