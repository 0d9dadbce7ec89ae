"""A device publishes its keys.

The identity keys go through the master, as everybody who shares a room is told of them. One-time and fallback keys are
this worker's to write; the sync workers get a hint that their number changed.

Spec: client-server-api/#uploading-keys.
"""

from typing import Final

import orjson

from hs_common.matrix.errors import invalid_param
from hs_common.matrix.public_keys import OneTimeKey, SignedKeys
from hs_common.reading.claimed_keys import KeyCountHints
from hs_common.replication.encryption_calls import SetDeviceKeys
from hs_common.replication.link_interface import Link
from hs_common.storage import one_time_keys
from hs_common.storage.device_keys import keys_of_devices
from hs_common.storage.one_time_keys import PublicKey
from hs_common.storage.queries import Queries

# Keys of one device that wait. Clients keep 50 to 100 there; none holds the private halves of more than some thousand.
MAXIMUM_ONE_TIME_KEYS: Final = 1_000
# Clients look for this algorithm, and take its absence for "the server does not say".
ALWAYS_COUNTED: Final = "signed_curve25519"


class Uploading:
    """Takes keys."""

    def __init__(self, db: Queries, master: Link, hints: KeyCountHints) -> None:
        self._db = db
        self._master = master
        self._hints = hints

    async def publish(self, user_id: str, device_id: str, keys: SignedKeys) -> None:
        """The device's identity keys, if they are not the same as before. Raises the master's errors."""
        for current in await keys_of_devices(self._db, [(user_id, device_id)]):
            if (current.keys.encode(), current.signatures.encode()) == (keys.keys, keys.signatures):
                return
        call = SetDeviceKeys(user_id=user_id, device_id=device_id, keys=keys.keys, signatures=keys.signatures)
        await self._master.call(call)

    async def add(self, user_id: str, device_id: str, one_time: list[OneTimeKey], fallback: list[OneTimeKey]) -> None:
        """One-time keys, and a fallback key for each algorithm. The same key once more is no mistake.

        Raises M_INVALID_PARAM for another key under an id in use, and for too many.
        """
        if one_time:
            await self._check(user_id, device_id, one_time)
            await one_time_keys.add_one_time_keys(self._db, user_id, device_id, _rows(one_time))
        if fallback:
            if len({key.algorithm for key in fallback}) != len(fallback):
                raise invalid_param("There can be one fallback key for each algorithm")
            await one_time_keys.set_fallback_keys(self._db, user_id, device_id, _rows(fallback))
        if one_time or fallback:
            await self._hints.changed([(user_id, device_id)])

    async def counts(self, user_id: str, device_id: str) -> dict[str, int]:
        """How many one-time keys wait, by algorithm."""
        return {ALWAYS_COUNTED: 0, **await one_time_keys.key_counts(self._db, user_id, device_id)}

    async def _check(self, user_id: str, device_id: str, keys: list[OneTimeKey]) -> None:
        waiting = sum((await one_time_keys.key_counts(self._db, user_id, device_id)).values())
        if waiting + len(keys) > MAXIMUM_ONE_TIME_KEYS:
            raise invalid_param(f"At most {MAXIMUM_ONE_TIME_KEYS} one-time keys of a device can wait")
        ids = [(key.algorithm, key.key_id) for key in keys]
        new = {(key.algorithm, key.key_id): key.key for key in keys}
        for old in await one_time_keys.one_time_keys(self._db, user_id, device_id, ids):
            if orjson.loads(old.key) != orjson.loads(new[old.algorithm, old.key_id]):
                # matrix-rust-sdk and matrix-js-sdk look for "already exists".
                raise invalid_param(f"One time key {old.algorithm}:{old.key_id} already exists")


def _rows(keys: list[OneTimeKey]) -> list[PublicKey]:
    return [PublicKey(key.algorithm, key.key_id, key.key.decode()) for key in keys]
