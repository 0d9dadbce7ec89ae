"""Keeps what other servers answer when they are asked for a user's whole device list.

Rules: an answer counts only if nobody has written of the list since before the request, else it may be older than what
is here. Readers are told when it is not what they may have been told before.

Spec: server-server API, #device-management.
"""

from urllib.parse import quote

from hs_common.federation.remote_keys import ToldList
from hs_common.replication.link_interface import Link
from hs_common.replication.remote_calls import RemoteDevices, RemoteDevicesChanged
from hs_common.storage import remote_devices
from hs_common.storage.queries import Queries
from hs_common.storage.remote_devices import NOTHING_YET, KeptList, RemoteUser


def list_path(user_id: str) -> str:
    """Where a server tells a user's list."""
    return f"/_matrix/federation/v1/user/devices/{quote(user_id, safe='')}"


class ListKeeping:
    """Writes lists. One of each process that asks for them."""

    def __init__(self, db: Queries, master: Link) -> None:
        self._db = db
        self._master = master

    async def keep(self, before: RemoteUser, told: ToldList) -> bool:
        """A list that was asked for after the user was read as `before`, whose list had been begun. False if somebody
        has written meanwhile: it is not kept. Raises MatrixError when the master is away."""
        kept = before.kept
        assert kept is not None, "a list is begun before it is asked for"
        if _is_news(kept, told):
            # First, as this process may end: who reads too early finds a stale list, and asks.
            changed = RemoteDevices(user_id=before.user_id, device_ids=[])
            await self._master.call(RemoteDevicesChanged(users=[changed]))
        devices = list(told.devices.values())
        since = before.head
        return await remote_devices.replace(
            self._db, before.user_id, kept.version, since, told.stream_id, devices, told.keys
        )


def _is_news(kept: KeptList, told: ToldList) -> bool:
    """Whether readers may have been told something else, or nothing. What a list was begun for is told by itself."""
    if kept.failures:
        return True
    return kept.stream_id != NOTHING_YET and (kept.devices, kept.keys) != (told.devices, told.keys)
