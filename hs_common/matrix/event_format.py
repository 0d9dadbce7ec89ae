"""The format of PDUs: whether what another server (or we ourselves) composed is an event of its room version at all.

This is the first check on receipt of a PDU; an event that fails is dropped. It looks at the type of each top-level key
that the specification names, at the limits, and at canonical JSON where the room version enforces it. Signatures,
hashes and authorisation come after.

`unsigned` is not part of the event: it is neither counted nor checked here beyond its type, so that what a peer adds to
it on the way never decides about an event. It must be dropped, or made anew, before an event is stored.

Spec: server-server API, #checks-performed-on-receipt-of-a-pdu; rooms/v1 to v12, #event-format; client-server API,
#size-limits.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hs_common.matrix import canonical_json, hashes
from hs_common.matrix.errors import bad_json, too_large
from hs_common.matrix.identifiers import (
    is_event_id,
    is_event_id_with_domain,
    is_hash_room_id,
    is_room_id_with_domain,
    is_short,
    is_user_id,
)
from hs_common.matrix.limits import (
    MAX_AUTH_EVENTS,
    MAX_DEPTH,
    MAX_DEPTH_BEFORE_CANONICAL_JSON,
    MAX_EVENT_BYTES,
    MAX_PREV_EVENTS,
)
from hs_common.matrix.room_versions import RoomVersion

# Timestamps of versions without canonical JSON still have to be 64-bit integers ("format: int64").
_MAX_INT64 = 2**63 - 1


def check_event_format(pdu: object, room_version: RoomVersion) -> None:
    """Refuse what is not a PDU of this room version.

    `pdu` is decoded JSON within the nesting limit. Raises MatrixError: 400 M_BAD_JSON, or 413 M_TOO_LARGE for an event
    above the size limit.
    """
    if not isinstance(pdu, dict):
        raise bad_json("An event must be an object")
    for key, is_valid in _REQUIRED.items():
        _require(pdu, key, is_valid)
    for key, is_valid in _OPTIONAL.items():
        if key in pdu:
            _require(pdu, key, is_valid)
    _check_numbers(pdu, room_version)
    _check_identifiers(pdu, room_version)
    _check_references(pdu, "prev_events", MAX_PREV_EVENTS, room_version)
    _check_references(pdu, "auth_events", MAX_AUTH_EVENTS, room_version)
    covered = {key: value for key, value in pdu.items() if key != "unsigned"}
    if room_version.enforce_canonical_json:
        canonical_json.check(covered)
    check_event_size(_encode(covered, room_version))


def check_event_size(encoded: bytes) -> None:
    """Refuse an event whose canonical JSON, signatures included, is too long. Raises MatrixError 413 M_TOO_LARGE."""
    if len(encoded) > MAX_EVENT_BYTES:
        raise too_large(f"An event may have at most {MAX_EVENT_BYTES} bytes")


def _encode(pdu: Mapping[str, Any], room_version: RoomVersion) -> bytes:
    try:
        return hashes.encode(pdu, room_version)
    except ValueError as error:
        # Only where floats are accepted: one that is infinite, or a lone surrogate.
        raise bad_json("The event cannot be encoded") from error


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_array(value: object) -> bool:
    return isinstance(value, list)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_short_string(value: object) -> bool:
    return isinstance(value, str) and is_short(value)


def _is_hashes(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("sha256"), str)


def _is_signatures(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    entries = value.values()
    return all(isinstance(entry, dict) and all(isinstance(text, str) for text in entry.values()) for entry in entries)


_REQUIRED: Mapping[str, Callable[[object], bool]] = {
    "type": _is_short_string,
    "sender": is_user_id,
    "content": _is_object,
    "origin_server_ts": _is_integer,
    "depth": _is_integer,
    "hashes": _is_hashes,
    "signatures": _is_signatures,
    "prev_events": _is_array,
    "auth_events": _is_array,
}

_OPTIONAL: Mapping[str, Callable[[object], bool]] = {
    "state_key": _is_short_string,
    "unsigned": _is_object,
}


def _require(pdu: Mapping[str, Any], key: str, is_valid: Callable[[object], bool]) -> None:
    if key not in pdu:
        raise bad_json(f"An event must have the key {key}")
    if not is_valid(pdu[key]):
        raise bad_json(f"The event's {key} is not valid")


def _check_numbers(pdu: Mapping[str, Any], room_version: RoomVersion) -> None:
    max_depth = MAX_DEPTH if room_version.enforce_canonical_json else MAX_DEPTH_BEFORE_CANONICAL_JSON
    if pdu["depth"] > max_depth:
        raise bad_json("The event's depth is not valid")
    if min(pdu["depth"], pdu["origin_server_ts"]) < -_MAX_INT64 or pdu["origin_server_ts"] > _MAX_INT64:
        raise bad_json("The event's numbers must have 64 bits")


def _check_identifiers(pdu: Mapping[str, Any], room_version: RoomVersion) -> None:
    if room_version.room_id_is_create_hash:
        # A create event should have none; one that has is a matter of the authorisation rules (v12, rule 1.2).
        if pdu["type"] != "m.room.create" or "room_id" in pdu:
            _require(pdu, "room_id", is_hash_room_id)
    else:
        _require(pdu, "room_id", is_room_id_with_domain)
    if not room_version.event_id_is_hash:
        _require(pdu, "event_id", is_event_id_with_domain)
    if not room_version.redacts_in_content and "redacts" in pdu:
        _require(pdu, "redacts", _is_short_string)


def _check_references(pdu: Mapping[str, Any], key: str, maximum: int, room_version: RoomVersion) -> None:
    references = pdu[key]
    if len(references) > maximum:
        raise bad_json(f"The event's {key} may have at most {maximum} entries")
    is_reference = is_event_id if room_version.event_id_is_hash else _is_reference_with_hash
    if not all(map(is_reference, references)):
        raise bad_json(f"The event's {key} are not valid")


def _is_reference_with_hash(reference: object) -> bool:
    """Whether this is an entry `[event id, {"sha256": hash}]` of versions 1 and 2."""
    return (
        isinstance(reference, list)
        and len(reference) == 2
        and is_event_id(reference[0])
        and isinstance(reference[1], dict)
    )
