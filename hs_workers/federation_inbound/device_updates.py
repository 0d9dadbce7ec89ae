"""Changes of other servers' users' devices and cross-signing keys, applied to the lists that are kept of them.

Each update names the one before it. One that does not follow what is here makes the list stale: readers are told at
once, the list is asked for whole (`device_resync`), and they are told again. Lists are kept only of users who share a
room with users here.

Spec: server-server API, #device-management, #end-to-end-encryption.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hs_common.federation.device_lists import DeviceLists
from hs_common.federation.remote_keys import device_of, signing_keys_of
from hs_common.matrix.identifiers import domain_of, is_device_id, is_user_id
from hs_common.process.shares import shard_of
from hs_common.replication.keys import server_key
from hs_common.replication.link_interface import Link
from hs_common.replication.remote_calls import RemoteDevices, RemoteDevicesChanged
from hs_common.storage import federated_rooms, remote_devices
from hs_common.storage.queries import Queries
from hs_common.storage.remote_devices import RemoteDevice

MAXIMUM_STREAM_ID: Final = 2**63 - 1
MAXIMUM_PREV: Final = 100


@dataclass(frozen=True, slots=True)
class _Update:
    user_id: str
    device_id: str
    stream_id: int
    prev: list[int]
    device: RemoteDevice | None  # None: it was deleted


class DeviceUpdates:
    """Applies the EDUs."""

    def __init__(self, db: Queries, master: Link, lists: DeviceLists, server_name: str) -> None:
        self._db = db
        self._master = master
        self._lists = lists
        self._server_name = server_name

    async def update(self, origin: str, contents: list[Mapping[str, Any]]) -> None:
        """m.device_list_update."""
        updates = [update for content in contents if (update := _update(content, origin)) is not None]
        known = await federated_rooms.shares_room_with_us(
            self._db, sorted({update.user_id for update in updates}), self._server_name
        )
        for update in updates:
            if update.user_id in known:
                await self._apply(origin, update)

    async def update_signing_keys(self, origin: str, contents: list[Mapping[str, Any]]) -> None:
        """m.signing_key_update."""
        for content in contents:
            user_id = content.get("user_id")
            if not is_user_id(user_id) or domain_of(user_id) != origin:
                continue
            if not await federated_rooms.shares_room_with_us(self._db, [user_id], self._server_name):
                continue
            keys = signing_keys_of(content, user_id)
            if keys:
                await remote_devices.put_cross_signing_keys(self._db, user_id, keys)
                changed = RemoteDevices(user_id=user_id, device_ids=[], cross_signing=True)
                await self._master.call(RemoteDevicesChanged(users=[changed]))

    async def _apply(self, origin: str, update: _Update) -> None:
        """What was applied before is told again, in case nobody was told of it."""
        stream = await remote_devices.stream_of(self._db, update.user_id)
        if stream is not None and not stream[1] and update.stream_id > stream[0]:
            if stream[0] in update.prev and await self._write(update, stream[0]):
                await self._tell(origin, update)
                return
        elif stream is not None and not stream[1]:
            await self._tell(origin, update)
            return
        await remote_devices.mark_stale(self._db, update.user_id, shard_of(update.user_id))
        await self._tell(origin, update)
        self._lists.wake()

    async def _write(self, update: _Update, before: int) -> bool:
        if update.device is None:
            await remote_devices.remove_device(self._db, update.user_id, update.device_id)
        elif not await self._lists.has_room(update.user_id):
            return False
        else:
            await remote_devices.put_device(self._db, update.device)
        return await remote_devices.advance(self._db, update.user_id, before, update.stream_id)

    async def _tell(self, origin: str, update: _Update) -> None:
        changed = RemoteDevices(user_id=update.user_id, device_ids=[update.device_id])
        key = server_key(origin, f"devices of {update.user_id}", str(update.stream_id))
        await self._master.call(RemoteDevicesChanged(users=[changed]), key)


def _update(content: Mapping[str, Any], origin: str) -> _Update | None:
    user_id, device_id, stream_id = content.get("user_id"), content.get("device_id"), content.get("stream_id")
    if not is_user_id(user_id) or domain_of(user_id) != origin or not is_device_id(device_id):
        return None
    if type(stream_id) is not int or not 0 <= stream_id <= MAXIMUM_STREAM_ID:
        return None
    prev = content.get("prev_id")
    numbers = [one for one in prev if type(one) is int][:MAXIMUM_PREV] if isinstance(prev, list) else []
    deleted = content.get("deleted") is True
    device = None if deleted else device_of(user_id, device_id, content.get("device_display_name"), content.get("keys"))
    return _Update(user_id, device_id, stream_id, numbers, device)
