"""Deciding on public keys: of devices, for cross-signing, and signatures of them.

Rules: what ends a key ends its signatures with it, in the same commit. What everybody may see who shares a room is a
change of the user's device list; what one reader alone may see is told to that reader. Contents are checked before.

Spec: client-server-api/#uploading-keys, #cross-signing.
"""

from typing import Final

import orjson

from hs_common.matrix.errors import MatrixError, forbidden, not_found
from hs_common.replication.calls import Answer
from hs_common.replication.encryption_calls import AddSignatures, NewSignature, SetCrossSigningKeys, SetDeviceKeys
from hs_common.replication.items import PrivateKeysItem
from hs_common.storage import master_reads
from hs_common.storage.cross_signing import CrossSigningKey, cross_signing_keys
from hs_common.storage.device_keys import DeviceKeys, KeySignature, keys_of_devices, signatures_seen
from hs_common.storage.queries import Queries, Row
from hs_master import encryption_tables
from hs_master.decisions.sessions import user_queue
from hs_master.device_lists import change_cross_signing, change_devices
from hs_master.step import Step

MASTER: Final = "master"
USER_SIGNING: Final = "user_signing"


class SetDeviceKeysDecider:
    def queue(self, call: SetDeviceKeys) -> str:
        return user_queue(call.user_id)

    async def load(self, call: SetDeviceKeys, db: Queries) -> tuple[Row | None, list[DeviceKeys]]:
        return (
            await master_reads.device(db, call.user_id, call.device_id),
            await keys_of_devices(db, [(call.user_id, call.device_id)]),
        )

    def decide(self, call: SetDeviceKeys, step: Step, loaded: tuple[Row | None, list[DeviceKeys]]) -> Answer:
        device, current = loaded
        if device is None:
            raise not_found("This device was deleted")
        keys, signatures = call.keys.decode(), call.signatures.decode()
        if current and (current[0].keys, current[0].signatures) == (keys, signatures):
            return Answer(pos=step.pos)
        if current and orjson.loads(current[0].keys).get("keys") != orjson.loads(keys).get("keys"):
            # Its one-time keys are signed by a key that is no more.
            step.row(encryption_tables.DEVICE_KEYS_END, call.user_id, call.device_id)
        pos = change_devices(step, call.user_id, [call.device_id])
        step.row(encryption_tables.DEVICE_KEYS, call.user_id, call.device_id, keys, signatures, pos)
        return Answer(pos=pos)


class SetCrossSigningKeysDecider:
    def queue(self, call: SetCrossSigningKeys) -> str:
        return user_queue(call.user_id)

    async def load(self, call: SetCrossSigningKeys, db: Queries) -> tuple[list[CrossSigningKey], list[str]]:
        return await cross_signing_keys(db, [call.user_id]), await master_reads.device_ids(db, call.user_id)

    def decide(self, call: SetCrossSigningKeys, step: Step, loaded: tuple[list[CrossSigningKey], list[str]]) -> Answer:
        current, device_ids = {key.usage: key for key in loaded[0]}, loaded[1]
        if {usage: key.public_key for usage, key in current.items()} != call.expected:
            raise MatrixError(409, "M_CONFLICT", "The cross-signing keys changed meanwhile")
        if any(key.public_key in device_ids for key in call.keys.values()):
            raise forbidden("Key ID in use")
        ended = _ended(call, current)
        written = [usage for usage in call.keys if _is_news(call, current, usage)]
        end_cross_signing(step, [current[usage] for usage in ended])
        if {*ended, *written} - {USER_SIGNING}:
            change_cross_signing(step, call.user_id)
        elif written:
            tell_privately(step, call.user_id, [call.user_id])
        for usage in written:
            key = call.keys[usage]
            contents = (key.keys.decode(), key.signatures.decode())
            row = (call.user_id, usage, key.public_key, *contents, step.pos)
            step.row(encryption_tables.CROSS_SIGNING_KEYS, *row)
        return Answer(pos=step.pos)


def _ended(call: SetCrossSigningKeys, current: dict[str, CrossSigningKey]) -> list[str]:
    """The usages whose keys are replaced, or are without a master key that signed them."""
    old, new = current.get(MASTER), call.keys.get(MASTER)
    is_new_master = old is not None and new is not None and old.public_key != new.public_key
    return [
        usage
        for usage, key in current.items()
        if (call.keys[usage].public_key != key.public_key if usage in call.keys else is_new_master)
    ]


def _is_news(call: SetCrossSigningKeys, current: dict[str, CrossSigningKey], usage: str) -> bool:
    old, new = current.get(usage), call.keys[usage]
    return old is None or (old.keys, old.signatures) != (new.keys.decode(), new.signatures.decode())


def end_cross_signing(step: Step, keys: list[CrossSigningKey]) -> None:
    """End keys with the signatures of them and by them."""
    for key in keys:
        step.row(encryption_tables.CROSS_SIGNING_KEYS_END, key.user_id, key.usage, key.public_key)


def tell_privately(step: Step, reader_id: str, user_ids: list[str]) -> None:
    """Keys of these users changed for one reader."""
    pos = step.item(PrivateKeysItem(reader_id, user_ids))
    for user_id in user_ids:
        key = (reader_id, user_id)
        step.upsert(encryption_tables.PRIVATE_KEY_CHANGE, key, *key, pos)


class AddSignaturesDecider:
    """A signature that is there already changes nothing."""

    def queue(self, call: AddSignatures) -> str:
        return user_queue(call.signer_id)

    async def load(self, call: AddSignatures, db: Queries) -> tuple[list[KeySignature], list[CrossSigningKey]]:
        users = sorted({one.user_id for one in call.signatures})
        return await signatures_seen(db, users, call.signer_id), await cross_signing_keys(db, [call.signer_id])

    def decide(
        self, call: AddSignatures, step: Step, loaded: tuple[list[KeySignature], list[CrossSigningKey]]
    ) -> Answer:
        signer = call.signer_id
        there = {(one.user_id, one.target, one.key_id): one.signature for one in loaded[0] if one.signer_id == signer}
        new = [one for one in call.signatures if there.get((one.user_id, one.target, one.key_id)) != one.signature]
        masters = {key.public_key for key in loaded[1] if key.usage == MASTER}
        self._tell(step, signer, new, masters)
        for one in new:
            key = (one.user_id, one.target, signer, one.key_id)
            step.upsert(encryption_tables.KEY_SIGNATURE, key, *key, one.signature, step.pos)
        return Answer(pos=step.pos)

    def _tell(self, step: Step, signer: str, new: list[NewSignature], masters: set[str]) -> None:
        own = {one.target for one in new if one.user_id == signer}
        others = {one.user_id for one in new if one.user_id != signer}
        if own - masters:
            change_devices(step, signer, sorted(own - masters))
        if own & masters:
            change_cross_signing(step, signer)
        if others:
            tell_privately(step, signer, sorted(others))
