"""Public keys of this server's users and their devices, as one reader may see them.

Answers are spliced from what is stored: a room of 500 devices is two statements and no parsing.

Spec: client-server-api/#post_matrixclientv3keysquery, #key-and-signature-security; server-server API,
#post_matrixfederationv1userkeysquery.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from hs_common.matrix.public_keys import MASTER, SELF_SIGNING, USER_SIGNING
from hs_common.storage.cross_signing import CrossSigningKey, cross_signing_keys
from hs_common.storage.device_keys import (
    DeviceKeys,
    KeySignature,
    keys_of_devices,
    keys_of_users,
    known_users,
    signatures_seen,
)
from hs_common.storage.queries import Queries

ANOTHER_SERVER: Final = ""
"""The reader, where another server asks: it sees the users' own signatures."""

# (user id, target) → signer → key id → signature
_Signatures = dict[tuple[str, str], dict[str, dict[str, str]]]


async def public_keys(
    db: Queries, reader_id: str, user_ids: Sequence[str], wanted: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """`device_keys`, `master_keys`, `self_signing_keys` and `user_signing_keys` (the reader's own) of some of our
    users; `wanted`: their device ids, none for all."""
    added = _grouped(await signatures_seen(db, user_ids, reader_id)) if user_ids else {}
    answer: dict[str, Any] = {"device_keys": await _devices(db, user_ids, wanted, added)}
    cross = await cross_signing_keys(db, user_ids) if user_ids else []
    for usage in (MASTER, SELF_SIGNING, USER_SIGNING):
        answer[f"{usage}_keys"] = {
            key.user_id: _cross_signing_json(key, added)
            for key in cross
            if key.usage == usage and (usage != USER_SIGNING or key.user_id == reader_id)
        }
    return answer


async def _devices(
    db: Queries, user_ids: Sequence[str], wanted: Mapping[str, Sequence[str]], added: _Signatures
) -> dict[str, dict[str, orjson.Fragment]]:
    whole = [user_id for user_id in user_ids if not wanted[user_id]]
    single = [(user_id, device_id) for user_id in user_ids for device_id in wanted[user_id]]
    found = [*(await keys_of_users(db, whole) if whole else ()), *await keys_of_devices(db, single)]
    users = await known_users(db, user_ids) if user_ids else set()
    devices: dict[str, dict[str, orjson.Fragment]] = {user_id: {} for user_id in user_ids if user_id in users}
    for one in found:
        devices.setdefault(one.user_id, {})[one.device_id] = _device_json(one, added)
    return devices


def _device_json(one: DeviceKeys, added: _Signatures) -> orjson.Fragment:
    unsigned = {} if one.display_name is None else {"device_display_name": one.display_name}
    return _spliced(one.keys, one.signatures, added.get((one.user_id, one.device_id)), unsigned)


def _cross_signing_json(key: CrossSigningKey, added: _Signatures) -> orjson.Fragment:
    return _spliced(key.keys, key.signatures, added.get((key.user_id, key.public_key)), None)


def _spliced(
    keys: str, signatures: str, added: dict[str, dict[str, str]] | None, unsigned: dict[str, str] | None
) -> orjson.Fragment:
    """The stored object with all its signatures."""
    if added is not None:
        merged: dict[str, dict[str, str]] = orjson.loads(signatures)
        for signer, more in added.items():
            merged[signer] = {**merged.get(signer, {}), **more}
        signatures = orjson.dumps(merged).decode()
    spliced = f'{keys[:-1]},"signatures":{signatures}'
    if unsigned is not None:
        spliced += f',"unsigned":{orjson.dumps(unsigned).decode()}'
    return orjson.Fragment(spliced + "}")


def _grouped(signatures: Iterable[KeySignature]) -> _Signatures:
    grouped: _Signatures = {}
    for one in signatures:
        grouped.setdefault((one.user_id, one.target), {}).setdefault(one.signer_id, {})[one.key_id] = one.signature
    return grouped
