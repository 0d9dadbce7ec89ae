"""The checks on receipt of a PDU that need neither keys nor state: its format, its id, its content hash. Pure.

What comes out is what is kept of the event: without `unsigned`, and redacted if its content hash does not fit.

Spec: server-server API, #checks-performed-on-receipt-of-a-pdu (1 and 3),
#validating-hashes-and-signatures-on-received-events.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hs_common.matrix import hashes
from hs_common.matrix.auth_rules import required_signatures
from hs_common.matrix.errors import bad_json
from hs_common.matrix.event import Event
from hs_common.matrix.event_format import check_event_format
from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import RoomVersion


@dataclass(frozen=True, slots=True)
class ReceivedPdu:
    """A well-formed event. `encoded`: its canonical JSON; `signed`: the bytes that its signatures cover."""

    event: Event
    encoded: bytes
    signed: bytes

    @property
    def event_id(self) -> str:
        return self.event.event_id

    @property
    def signatures(self) -> Mapping[str, Any]:
        signatures: Mapping[str, Any] = self.event.pdu["signatures"]
        return signatures

    @property
    def signers(self) -> frozenset[str]:
        """The servers that must have signed the event."""
        return required_signatures(self.event)


def read_pdu(value: object, room_version: RoomVersion) -> ReceivedPdu:
    """The event of decoded JSON. Raises MatrixError: 400 M_BAD_JSON or 413 M_TOO_LARGE for what has to be dropped."""
    check_event_format(value, room_version)
    assert isinstance(value, dict), "whatever passed the check of the format is an object"
    pdu = {key: item for key, item in value.items() if key != "unsigned"}
    signed = hashes.redacted_bytes(pdu, room_version)
    event_id = hashes.event_id_of_bytes(signed, room_version) if room_version.event_id_is_hash else pdu["event_id"]
    if not hashes.content_hash_matches(pdu, room_version):
        pdu = redact(pdu, room_version)
    return ReceivedPdu(Event.from_pdu(pdu, room_version, event_id), hashes.encode(pdu, room_version), signed)


def read_pdu_of(value: object, room_version: RoomVersion, room_id: str) -> ReceivedPdu:
    """The same, of an event that must be of this room. Raises MatrixError."""
    received = read_pdu(value, room_version)
    if received.event.room_id != room_id:
        raise bad_json(f"The event {received.event_id} is of another room")
    return received


def with_signatures(received: ReceivedPdu, signatures: Mapping[str, Mapping[str, str]]) -> ReceivedPdu:
    """The event with more signatures beside those it has."""
    merged: dict[str, Any] = {name: dict(keys) for name, keys in received.signatures.items()}
    for name, keys in signatures.items():
        merged[name] = {**merged.get(name, {}), **keys}
    version = received.event.room_version
    pdu = {**received.event.pdu, "signatures": merged}
    return ReceivedPdu(Event.from_pdu(pdu, version, received.event_id), hashes.encode(pdu, version), received.signed)
