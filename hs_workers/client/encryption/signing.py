"""Publishing signatures: of one's own devices, one's own master key, and other users' master keys.

Rules: a signature is taken only with the very object that is published, and only of who signs such objects: the
self-signing key signs devices, devices sign their owner's master key, the user-signing key signs others' master keys.
What users of other servers publish is known or asked as it is for key queries. Each object fails for itself.

Spec: client-server-api/#post_matrixclientv3keyssignaturesupload, #key-and-signature-security.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from hs_common.matrix.errors import MatrixError, invalid_param, not_found
from hs_common.matrix.identifiers import is_key_id, is_user_id
from hs_common.matrix.public_keys import (
    MASTER,
    SELF_SIGNING,
    USER_SIGNING,
    check_signature,
    ed25519_keys,
    parse_cross_signing_key,
    signed_part,
    verify_key,
)
from hs_common.matrix.signing import VerifyKey, signatures_of
from hs_common.replication.encryption_calls import AddSignatures, NewSignature
from hs_common.replication.link_interface import Link
from hs_common.storage.cross_signing import CrossSigningKey, cross_signing_keys
from hs_common.storage.device_keys import DeviceKeys, keys_of_users
from hs_common.storage.queries import Queries
from hs_workers.client.encryption.local_users import by_server
from hs_workers.client.encryption.remote_lists import RemoteLists

Uploads = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is published of the users that a request is about."""

    cross: dict[tuple[str, str], CrossSigningKey]  # by user and usage
    devices: dict[str, DeviceKeys]  # the signer's


class Signing:
    """Takes signatures."""

    def __init__(self, db: Queries, master: Link, server_name: str, remote: RemoteLists) -> None:
        self._db = db
        self._master = master
        self._server_name = server_name
        self._remote = remote

    async def add(self, signer_id: str, uploads: Uploads) -> dict[str, dict[str, dict[str, object]]]:
        """Publishes what is right of signed objects by user and device id or master key; gives the others' errors."""
        known = await self._known(signer_id, uploads)
        new: list[NewSignature] = []
        failures: dict[str, dict[str, dict[str, object]]] = {}
        for user_id, objects in uploads.items():
            for target, value in objects.items():
                try:
                    new += _signatures(known, signer_id, user_id, target, value)
                except MatrixError as error:
                    failures.setdefault(user_id, {})[target] = error.body()
        if new:
            await self._master.call(AddSignatures(signer_id=signer_id, signatures=new))
        return failures

    async def _known(self, signer_id: str, uploads: Uploads) -> _Known:
        users = {signer_id, *(user_id for user_id in uploads if is_user_id(user_id))}
        local, servers = by_server(sorted(users), self._server_name)
        cross = [*await cross_signing_keys(self._db, local), *(await self._masters_of(servers) if servers else ())]
        return _Known(
            {(key.user_id, key.usage): key for key in cross},
            {one.device_id: one for one in await keys_of_users(self._db, [signer_id])},
        )

    async def _masters_of(self, servers: Mapping[str, Sequence[str]]) -> list[CrossSigningKey]:
        """The master keys of users of other servers, as key queries tell them."""
        asked: dict[str, dict[str, Any]] = {
            server: {user_id: [] for user_id in users} for server, users in servers.items()
        }
        told, _ = await self._remote.query(asked)
        found = []
        for user_id, value in told[f"{MASTER}_keys"].items():
            try:
                key = parse_cross_signing_key(value, MASTER, user_id)
            except MatrixError:
                continue  # nothing that could be signed
            keys, signatures = key.signed.keys.decode(), key.signed.signatures.decode()
            found.append(CrossSigningKey(user_id, MASTER, key.public_key, keys, signatures))
        return found


def _signatures(known: _Known, signer_id: str, user_id: str, target: str, value: Any) -> list[NewSignature]:
    """The signatures to publish of one object. Raises MatrixError."""
    if not isinstance(value, dict):
        raise invalid_param("A signed object must be an object")
    master = known.cross.get((user_id, MASTER))
    if master is not None and master.public_key == target:
        stored = master.keys
        signers = _device_keys(known) if user_id == signer_id else _own_key(known, signer_id, USER_SIGNING)
    elif user_id == signer_id and target in known.devices:
        stored = known.devices[target].keys
        signers = _own_key(known, signer_id, SELF_SIGNING)
    else:
        raise not_found("There is no such device or master key")
    if signed_part(value) != orjson.loads(stored):
        raise invalid_param("This is not the key that is published")
    return _checked(value, signer_id, user_id, target, signers)


def _checked(
    value: dict[str, Any], signer_id: str, user_id: str, target: str, signers: Iterable[VerifyKey]
) -> list[NewSignature]:
    """Those made by one of the signers, of which there must be one, and all must be right."""
    given = signatures_of(value.get("signatures"), signer_id)
    found = []
    for key in signers:
        signature = given.get(key.key_id)
        if signature is not None and is_key_id(key.key_id):
            check_signature(value, signer_id, key)
            found.append(NewSignature(user_id=user_id, target=target, key_id=key.key_id, signature=str(signature)))
    if not found:
        raise MatrixError(400, "M_INVALID_SIGNATURE", "There is no signature by a key that may sign this")
    return found


def _own_key(known: _Known, signer_id: str, usage: str) -> list[VerifyKey]:
    key = known.cross.get((signer_id, usage))
    return [] if key is None else [verify_key(f"ed25519:{key.public_key}", key.public_key)]


def _device_keys(known: _Known) -> list[VerifyKey]:
    """The signing keys of the signer's devices, each under its own device's name."""
    return [
        key
        for device_id, one in known.devices.items()
        for key in ed25519_keys(orjson.loads(one.keys)["keys"])
        if key.key_id == f"ed25519:{device_id}"
    ]
