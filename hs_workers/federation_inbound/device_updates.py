"""Changes of other servers' users' devices and cross-signing keys, applied to the lists that are kept of them.

Each update names those before it. One that does not follow what is here makes the list stale: readers are told at once,
the list is asked for whole, and they are told again if they may have missed something. Lists are kept only of users who
share a room with users here, from the first key query on; of others readers are told all the same.

Spec: server-server API, #device-management, #end-to-end-encryption.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from hs_common.federation.device_lists import DeviceLists
from hs_common.federation.remote_keys import MAXIMUM_DEVICES, device_of, is_stream_id, signing_keys_of
from hs_common.matrix.identifiers import domain_of, is_device_id, is_user_id
from hs_common.replication.keys import server_key
from hs_common.replication.link_interface import Link
from hs_common.replication.remote_calls import RemoteDevices, RemoteDevicesChanged
from hs_common.storage import federated_rooms, remote_devices
from hs_common.storage.queries import Queries
from hs_common.storage.remote_devices import KeptDevice, RemoteDevice

MAXIMUM_PREV: Final = 100


@dataclass(frozen=True, slots=True)
class Update:
    """`prev`: the numbers of the updates that it follows. `device` is None where it was deleted."""

    user_id: str
    device_id: str
    stream_id: int
    prev: list[int]
    device: RemoteDevice | None


class Verdict(Enum):
    """What an update is to a list."""

    FOLLOWS = auto()
    IS_KNOWN = auto()
    IS_AMISS = auto()  # something lies between, or the list cannot hold it


def judged(kept: KeptDevice, update: Update) -> Verdict:
    """By what is kept of the update's device. One that is not newer may come again, or went beside a newer one, which a
    server of several processes may send: it is known if it would change nothing."""
    if kept.is_stale:
        return Verdict.IS_AMISS
    if update.stream_id <= kept.stream_id and update.device == kept.device:
        return Verdict.IS_KNOWN
    follows = update.stream_id > kept.stream_id and update.prev == [kept.stream_id]
    has_room = update.device is None or kept.device is not None or kept.size < MAXIMUM_DEVICES
    return Verdict.FOLLOWS if follows and has_room else Verdict.IS_AMISS


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

    async def _apply(self, origin: str, update: Update) -> None:
        """What was applied before is told again, in case nobody was told of it."""
        kept = await remote_devices.kept_device(self._db, update.user_id, update.device_id)
        if kept is not None and not await self._is_in(kept, update):
            await remote_devices.mark_stale(self._db, update.user_id)
            self._lists.wake()
        await self._tell(origin, update)

    async def _is_in(self, kept: KeptDevice, update: Update) -> bool:
        """Whether the list has the update now."""
        verdict = judged(kept, update)
        if verdict is not Verdict.FOLLOWS:
            return verdict is Verdict.IS_KNOWN
        at = (kept.version, update.stream_id)
        if update.device is None:
            return await remote_devices.remove_device(self._db, update.user_id, update.device_id, *at)
        return await remote_devices.put_device(self._db, update.device, *at)

    async def _tell(self, origin: str, update: Update) -> None:
        changed = RemoteDevices(user_id=update.user_id, device_ids=[update.device_id])
        # Servers are known that give one number to several devices of one change.
        key = server_key(origin, f"devices of {update.user_id}", f"{update.stream_id} {update.device_id}")
        await self._master.call(RemoteDevicesChanged(users=[changed]), key)


def _update(content: Mapping[str, Any], origin: str) -> Update | None:
    user_id, device_id, stream_id = content.get("user_id"), content.get("device_id"), content.get("stream_id")
    if not is_user_id(user_id) or domain_of(user_id) != origin or not is_device_id(device_id):
        return None
    if not is_stream_id(stream_id):
        return None
    prev = content.get("prev_id")
    numbers = [one for one in prev if type(one) is int][:MAXIMUM_PREV] if isinstance(prev, list) else []
    deleted = content.get("deleted") is True
    device = None if deleted else device_of(user_id, device_id, content.get("device_display_name"), content.get("keys"))
    return Update(user_id, device_id, stream_id, numbers, device)
