"""Asks for the device lists that are stale, each by the process that holds its user's share.

A list that cannot be had stays stale, and is asked for again later; meanwhile key queries ask for themselves. One whose
user shares no room with users here any more is dropped.

Spec: server-server API, #device-management.
"""

from typing import Any, Final
from urllib.parse import quote

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from hs_common.federation.interfaces import Remote
from hs_common.federation.remote_keys import MAXIMUM_DEVICES, devices_of, signing_keys_of
from hs_common.matrix.errors import MatrixError, unknown
from hs_common.matrix.identifiers import domain_of
from hs_common.process.ongoing import Ongoing
from hs_common.process.shares import ShareKeeper, shard_of
from hs_common.replication.clock import Clock, pause
from hs_common.replication.link_interface import Link
from hs_common.replication.remote_calls import RemoteDevices, RemoteDevicesChanged
from hs_common.storage import federated_rooms, remote_devices
from hs_common.storage.queries import DatabaseError, Queries

DUTY: Final = "device lists"
AT_ONCE: Final = 10
LOOK_S: Final = 10.0
WOKEN_S: Final = 0.1
FIRST_RETRY_S: Final = 30.0
LONGEST_RETRY_S: Final = 6 * 3600.0
MAXIMUM_STREAM_ID: Final = 2**63 - 1

_log = Logger()


class DeviceLists:
    """The lists of one process' shares."""

    def __init__(self, db: Queries, master: Link, remote: Remote, clock: Clock, server_name: str) -> None:
        self._db = db
        self._master = master
        self._remote = remote
        self._clock = clock
        self._server_name = server_name
        self._keeper: ShareKeeper | None = None
        self._looking = Ongoing(clock, "looking for stale device lists", self._look_on)
        self._woken = False

    def start(self, keeper: ShareKeeper) -> None:
        self._keeper = keeper
        self._looking.start()

    def stop(self) -> None:
        self._keeper = None
        self._looking.stop()

    def wake(self) -> None:
        """A list has just become stale."""
        self._woken = True

    async def has_room(self, user_id: str) -> bool:
        """Whether one more device of a user is kept."""
        return await remote_devices.count_devices(self._db, user_id) < MAXIMUM_DEVICES

    async def _look_on(self) -> None:
        waited = LOOK_S
        while True:
            if self._woken or waited >= LOOK_S:
                self._woken, waited = False, 0.0
                try:
                    while await self.look():
                        pass
                except DatabaseError as error:
                    _log.warn("stale device lists cannot be looked for: {error}", error=error)
            await pause(self._clock, WOKEN_S)
            waited += WOKEN_S

    async def look(self) -> bool:
        """Ask for some lists; false if none was stale."""
        keeper = self._keeper
        if keeper is None or not keeper.held or not keeper.may_start():
            return False
        stale = await remote_devices.stale_lists(self._db, sorted(keeper.held), AT_ONCE)
        await gatherResults([Deferred.fromCoroutine(self._insist(*one)) for one in stale], consumeErrors=True)
        return bool(stale)

    async def _insist(self, user_id: str, failures: int) -> None:
        try:
            if await federated_rooms.shares_room_with_us(self._db, [user_id], self._server_name):
                await self.ask(user_id)
            else:
                await remote_devices.forget(self._db, user_id)
        except MatrixError as error:
            _log.info("the devices of {user} cannot be had: {error}", user=user_id, error=error)
            seconds = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures, 20))
            await remote_devices.ask_later(self._db, user_id, seconds)

    async def ask(self, user_id: str) -> None:
        """Ask for a list, keep it, and tell who can see it. Raises MatrixError."""
        path = f"/_matrix/federation/v1/user/devices/{quote(user_id, safe='')}"
        answer = await self._remote.get(domain_of(user_id), path)
        stream_id = answer.get("stream_id") if isinstance(answer, dict) else None
        if type(stream_id) is not int or not 0 <= stream_id <= MAXIMUM_STREAM_ID or answer.get("user_id") != user_id:
            raise unknown(f"{domain_of(user_id)} gave no device list", 502)
        await self._keep(user_id, stream_id, answer)
        changed = [RemoteDevices(user_id=user_id, device_ids=[])]
        await self._master.call(RemoteDevicesChanged(users=changed))

    async def _keep(self, user_id: str, stream_id: int, answer: dict[str, Any]) -> None:
        devices = devices_of(user_id, answer.get("devices"))
        keys = signing_keys_of(answer, user_id)
        await remote_devices.replace_list(self._db, user_id, shard_of(user_id), stream_id, devices, keys)
