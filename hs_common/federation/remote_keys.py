"""Device and cross-signing keys as other servers tell them: what of it is kept. Pure.

Spec: server-server API, #get_matrixfederationv1userdevicesuserid, #mdevice_list_update, #msigning_key_update.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeGuard

from hs_common.matrix import canonical_json
from hs_common.matrix.errors import MatrixError, unknown
from hs_common.matrix.identifiers import domain_of, is_device_id, is_short
from hs_common.matrix.public_keys import (
    MASTER,
    MAXIMUM_DEVICE_KEYS_BYTES,
    MAXIMUM_KEY_BYTES,
    SELF_SIGNING,
    parse_cross_signing_key,
    parse_device_keys,
)
from hs_common.storage.remote_devices import RemoteDevice

MAXIMUM_NAME_BYTES: Final = 512
MAXIMUM_DEVICES: Final = 500
"""Of one user elsewhere whose list is kept: each message to him is encrypted for every one of them. Users who have more
are asked for each time."""
MAXIMUM_STREAM_ID: Final = 2**63 - 1


class ToldList(NamedTuple):
    """A whole device list as its server tells it; `keys` are cross-signing keys (JSON) by usage."""

    stream_id: int
    devices: Mapping[str, RemoteDevice]
    keys: Mapping[str, str]


def told_list(user_id: str, answer: object) -> ToldList:
    """What /user/devices answered. Raises MatrixError for what is no list, or one that is too long to be kept."""
    stream_id = answer.get("stream_id") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not is_stream_id(stream_id) or answer.get("user_id") != user_id:
        raise unknown(f"{domain_of(user_id)} gave no device list", 502)
    devices = devices_of(user_id, answer.get("devices"))
    if len(devices) > MAXIMUM_DEVICES:
        raise unknown(f"{user_id} has more than {MAXIMUM_DEVICES} devices", 502)
    return ToldList(stream_id, devices, signing_keys_of(answer, user_id))


def is_stream_id(value: object) -> TypeGuard[int]:
    """Whether it can be the number of a list's update."""
    return type(value) is int and 0 <= value <= MAXIMUM_STREAM_ID


def device_of(user_id: str, device_id: str, name: object, keys: object) -> RemoteDevice:
    """A device; keys that are not as they should be, or of another device, are left out."""
    display_name = name if isinstance(name, str) and is_short(name, MAXIMUM_NAME_BYTES) else None
    return RemoteDevice(user_id, device_id, display_name, _device_keys(user_id, device_id, keys))


def devices_of(user_id: str, listed: object) -> dict[str, RemoteDevice]:
    """The devices of the answer of /user/devices by their ids."""
    found = {}
    for entry in listed if isinstance(listed, list) else ():
        device_id = entry.get("device_id") if isinstance(entry, dict) else None
        if is_device_id(device_id):
            found[device_id] = device_of(user_id, device_id, entry.get("device_display_name"), entry.get("keys"))
    return found


def signing_keys_of(content: Mapping[str, Any], user_id: str) -> dict[str, str]:
    """Cross-signing keys as JSON by usage; those that are not as they should be are left out."""
    found = {}
    for usage in (MASTER, SELF_SIGNING):
        value = content.get(f"{usage}_key")
        if value is not None:
            try:
                parse_cross_signing_key(value, usage, user_id)
                found[usage] = _encoded(value, MAXIMUM_KEY_BYTES)
            except MatrixError:
                continue
    return found


def _device_keys(user_id: str, device_id: str, keys: object) -> str | None:
    if not isinstance(keys, dict):
        return None
    try:
        parse_device_keys(keys, user_id, device_id)
        return _encoded(keys, MAXIMUM_DEVICE_KEYS_BYTES)
    except MatrixError:
        return None


def _encoded(value: dict[str, Any], maximum_bytes: int) -> str:
    kept = {name: item for name, item in value.items() if name != "unsigned"}
    canonical_json.check(kept, refuse_nul=True)
    encoded = canonical_json.encode(kept)
    if len(encoded) > maximum_bytes:
        raise MatrixError(413, "M_TOO_LARGE", "The keys are too large")
    return encoded.decode()
