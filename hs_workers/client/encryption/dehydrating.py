"""Dehydrated devices: a device that receives keys while its user has no session, for the next one to pick up.

It is made like any other, but nobody has a token for it. A user has one; the next replaces it.

Spec: MSC3814.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.matrix.errors import forbidden, invalid_param, not_found
from hs_common.matrix.public_keys import OneTimeKey, SignedKeys
from hs_common.replication.calls import CloseSessions, MakeDevice
from hs_common.replication.link_interface import Link
from hs_common.storage import dehydrated_devices, inbox
from hs_common.storage.devices import device
from hs_common.storage.queries import Queries
from hs_workers.client.encryption.uploading import Uploading

# As many messages as /sync tells a device in one answer.
MAXIMUM_EVENTS: Final = 100
# A pickled account with a hundred one-time keys has some ten KiB.
MAXIMUM_DATA_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Dehydrated:
    """What a client uploads."""

    device_id: str
    display_name: str | None
    device_data: dict[str, Any]
    identity: SignedKeys
    one_time: list[OneTimeKey]
    fallback: list[OneTimeKey]


class Dehydrating:
    """Keeps them."""

    def __init__(self, db: Queries, master: Link, uploading: Uploading) -> None:
        self._db = db
        self._master = master
        self._uploading = uploading

    async def put(self, user_id: str, new: Dehydrated) -> None:
        """The user's dehydrated device from now on. Raises M_INVALID_PARAM."""
        data = orjson.dumps(new.device_data).decode()
        if len(data) > MAXIMUM_DATA_BYTES:
            raise invalid_param(f"`device_data` has at most {MAXIMUM_DATA_BYTES} bytes")
        old = await dehydrated_devices.dehydrated_device(self._db, user_id)
        is_replaced = old is not None and old[0] == new.device_id
        if not is_replaced and await device(self._db, user_id, new.device_id) is not None:
            raise invalid_param("You have another device with this id")
        call = MakeDevice(user_id=user_id, device_id=new.device_id, display_name=new.display_name)
        await self._master.call(call)
        await self._uploading.publish(user_id, new.device_id, new.identity)
        await self._uploading.add(user_id, new.device_id, new.one_time, new.fallback)
        replaced = await dehydrated_devices.keep_dehydrated_device(self._db, user_id, new.device_id, data)
        if replaced not in ("", new.device_id):  # by now: another may have been put meanwhile
            await self._master.call(CloseSessions(user_id=user_id, device_ids=[replaced]))

    async def get(self, user_id: str) -> dict[str, Any]:
        """Its id and data. Raises M_NOT_FOUND."""
        found = await dehydrated_devices.dehydrated_device(self._db, user_id)
        if found is None:
            raise not_found("You have no dehydrated device")
        return {"device_id": found[0], "device_data": orjson.loads(found[1])}

    async def delete(self, user_id: str) -> str:
        """Its id. Raises M_NOT_FOUND."""
        device_id: str = (await self.get(user_id))["device_id"]
        await self._master.call(CloseSessions(user_id=user_id, device_ids=[device_id]))
        await dehydrated_devices.drop_dehydrated_device(self._db, user_id, device_id)
        return device_id

    async def events(self, user_id: str, device_id: str, after: int) -> tuple[dict[str, Any], bool]:
        """Messages to it, in batches, and whether there are more; they stay until the device is deleted. Raises
        M_FORBIDDEN."""
        found = await dehydrated_devices.dehydrated_device(self._db, user_id)
        if found is None or found[0] != device_id:
            raise forbidden("This is not your dehydrated device")
        found_here = await inbox.waiting(self._db, user_id, device_id, after, MAXIMUM_EVENTS + 1)
        messages = found_here[:MAXIMUM_EVENTS]
        upto = messages[-1].pos if messages else after
        told = {"events": [orjson.loads(one.json) for one in messages], "next_batch": str(upto)}
        return told, len(found_here) > len(messages)
