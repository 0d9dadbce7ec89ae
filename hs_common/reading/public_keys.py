"""Public keys of this server's users and their devices, as one reader may see them.

Answers are spliced from what is stored, or from what was read before: of users of whom everything is asked for nothing
is parsed. What a user's keys are to everybody (`UserKeys`) is apart from the signatures that only one reader sees.

Spec: client-server-api/#post_matrixclientv3keysquery, #key-and-signature-security; server-server API,
#post_matrixfederationv1userkeysquery.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from hs_common.matrix.public_keys import MASTER, SELF_SIGNING, USER_SIGNING
from hs_common.storage.cross_signing import CrossSigningKey, cross_signing_keys
from hs_common.storage.device_keys import DeviceKeys, KeySignature, keys_of_users, known_users, own_signatures
from hs_common.storage.queries import Queries

ANOTHER_SERVER: Final = ""
"""The reader, where another server asks: it sees the users' own signatures."""

Signatures = Mapping[tuple[str, str], Mapping[str, Mapping[str, str]]]
"""(user id, target) → signer → key id → signature"""


@dataclass(slots=True)
class UserKeys:
    """Of one user, with the user's own signatures: devices' keys by device id, and by usage (public key, key), as
    JSON. `whole` are the devices as one object."""

    devices: dict[str, str] = field(default_factory=dict)
    cross: dict[str, tuple[str, str]] = field(default_factory=dict)
    whole: str = "{}"

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        keys = 2 * len(self.whole) + sum(len(json) for _, json in self.cross.values())
        return 1_000 + keys


async def read_user_keys(db: Queries, user_ids: Sequence[str]) -> dict[str, UserKeys]:
    """The keys of those of the users who are known here."""
    if not user_ids:
        return {}
    added = grouped(await own_signatures(db, user_ids))
    devices = await keys_of_users(db, user_ids)
    cross = await cross_signing_keys(db, user_ids)
    found = {user_id: UserKeys() for user_id in await known_users(db, user_ids)}
    for device in devices:
        if device.user_id in found:
            found[device.user_id].devices[device.device_id] = _device_json(device, added)
    for key in cross:
        if key.user_id in found:
            found[key.user_id].cross[key.usage] = (key.public_key, _cross_signing_json(key, added))
    for keys in found.values():
        devices_json = (f"{orjson.dumps(name).decode()}:{json}" for name, json in keys.devices.items())
        keys.whole = f"{{{','.join(devices_json)}}}"
    return found


def told_keys(
    users: Mapping[str, UserKeys], reader_id: str, wanted: Mapping[str, Sequence[str]], added: Signatures
) -> dict[str, Any]:
    """`device_keys`, `master_keys`, `self_signing_keys` and `user_signing_keys` (the reader's own) of the users.
    `wanted`: their device ids, none for all. `added`: signatures that the reader sees beside the users' own."""
    signed = {user_id for user_id, _ in added}
    answer: dict[str, Any] = {
        "device_keys": {
            user_id: _told_devices(user_id, keys, wanted[user_id], added if user_id in signed else {})
            for user_id, keys in users.items()
        }
    }
    for usage in (MASTER, SELF_SIGNING, USER_SIGNING):
        answer[f"{usage}_keys"] = {
            user_id: _with_signatures(keys.cross[usage][1], added.get((user_id, keys.cross[usage][0])))
            for user_id, keys in users.items()
            if usage in keys.cross and (usage != USER_SIGNING or user_id == reader_id)
        }
    return answer


async def public_keys(db: Queries, user_ids: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What another server is told of some of our users."""
    return told_keys(await read_user_keys(db, user_ids), ANOTHER_SERVER, wanted, {})


def grouped(signatures: Iterable[KeySignature]) -> Signatures:
    """Signatures by what they sign."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for one in signatures:
        found.setdefault((one.user_id, one.target), {}).setdefault(one.signer_id, {})[one.key_id] = one.signature
    return found


def with_own_signatures(masters: Mapping[str, dict[str, Any]], added: Signatures) -> dict[str, dict[str, Any]]:
    """Master keys of users of other servers by user, with the reader's signatures, which their servers do not know."""
    return {user_id: _signed_too(key, user_id, added) for user_id, key in masters.items()}


def _signed_too(key: dict[str, Any], user_id: str, added: Signatures) -> dict[str, Any]:
    keys, signatures = key.get("keys"), key.get("signatures")
    targets = keys.values() if isinstance(keys, dict) else ()
    signers = signatures.items() if isinstance(signatures, dict) else ()
    sound = {signer: one for signer, one in signers if isinstance(one, dict)}
    for target in targets:
        more = added.get((user_id, target)) if isinstance(target, str) else None
        if more is not None:
            return {**key, "signatures": _merged(sound, more)}
    return key


def _told_devices(user_id: str, keys: UserKeys, device_ids: Sequence[str], added: Signatures) -> Any:
    if not device_ids and not added:
        return orjson.Fragment(keys.whole)
    return {
        device_id: _with_signatures(keys.devices[device_id], added.get((user_id, device_id)))
        for device_id in device_ids or keys.devices
        if device_id in keys.devices
    }


def _with_signatures(json: str, added: Mapping[str, Mapping[str, str]] | None) -> orjson.Fragment:
    if added is None:
        return orjson.Fragment(json)
    key: dict[str, Any] = orjson.loads(json)
    key["signatures"] = _merged(key["signatures"], added)
    return orjson.Fragment(orjson.dumps(key))


def _merged(signatures: Mapping[str, Any], added: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    return {**signatures, **{signer: {**signatures.get(signer, {}), **more} for signer, more in added.items()}}


def _device_json(one: DeviceKeys, added: Signatures) -> str:
    unsigned = {} if one.display_name is None else {"device_display_name": one.display_name}
    spliced = _spliced(one.keys, one.signatures, added.get((one.user_id, one.device_id)))
    return f'{spliced},"unsigned":{orjson.dumps(unsigned).decode()}}}'


def _cross_signing_json(key: CrossSigningKey, added: Signatures) -> str:
    return _spliced(key.keys, key.signatures, added.get((key.user_id, key.public_key))) + "}"


def _spliced(keys: str, signatures: str, added: Mapping[str, Mapping[str, str]] | None) -> str:
    """The stored object with all its signatures, but for its last brace."""
    if added is not None:
        signatures = orjson.dumps(_merged(orjson.loads(signatures), added)).decode()
    return f'{keys[:-1]},"signatures":{signatures}'
