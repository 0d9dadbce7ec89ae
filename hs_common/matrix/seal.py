"""The last step of composing an event: content hash, signature, id and bytes in one go.

This is on the way of every message we send, so each of the three encodings needed is made once.

Spec: server-server API, #adding-hashes-and-signatures-to-outgoing-events.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from hs_common.matrix import base64, hashes
from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import RoomVersion
from hs_common.matrix.signing import SigningKey


class Sealed(NamedTuple):
    """A complete event: nothing of it may change any more, but signatures of others and `unsigned`."""

    pdu: dict[str, Any]
    event_id: str
    room_id: str
    # The canonical JSON of `pdu`; its length is what the size limit of events is about.
    encoded: bytes


def seal(pdu: Mapping[str, Any], room_version: RoomVersion, server_name: str, key: SigningKey) -> Sealed:
    """Hash and sign a composed PDU, which has no `hashes`, `signatures` or `unsigned` and whose content passed `check`.

    In room versions 1 and 2 it has its `event_id`, later none. `pdu` is not changed.
    """
    content_hash = sha256(hashes.encode(pdu, room_version)).digest()
    complete = {**pdu, "hashes": {"sha256": base64.encode(content_hash)}}
    # Without signatures yet, the redacted event is what is signed and what the reference hash covers.
    redacted = hashes.encode(redact(complete, room_version), room_version)
    if room_version.event_id_is_hash:
        event_id = hashes.event_id_of_bytes(redacted, room_version)
    else:
        event_id = pdu["event_id"]
    complete["signatures"] = {server_name: {key.key_id: key.sign_bytes(redacted)}}
    room_id = hashes.room_id(pdu, room_version, event_id)
    return Sealed(complete, event_id, room_id, hashes.encode(complete, room_version))
