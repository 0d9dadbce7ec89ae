"""Asks for the device lists that are stale, each by the process that holds its user's share.

A list that cannot be had stays stale, and is asked for again later; meanwhile key queries ask for themselves. One whose
user shares no room with users here any more, or did not for a while, is dropped: nobody kept it up to date.

Spec: server-server API, #device-management.
"""

from typing import Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from hs_common.federation.interfaces import Remote
from hs_common.federation.list_keeping import ListKeeping, list_path
from hs_common.federation.remote_keys import told_list
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of
from hs_common.process.ongoing import Ongoing
from hs_common.process.shares import ShareKeeper
from hs_common.replication.clock import Clock, pause
from hs_common.replication.link_interface import Link
from hs_common.storage import remote_devices
from hs_common.storage.queries import DatabaseError, Queries

DUTY: Final = "device lists"
AT_ONCE: Final = 10
LOOK_S: Final = 10.0
WOKEN_S: Final = 0.1
FIRST_RETRY_S: Final = 30.0
LONGEST_RETRY_S: Final = 6 * 3600.0
SWEEP_S: Final = 3600.0
SWEPT_AT_ONCE: Final = 200

_log = Logger()


class DeviceLists:
    """The lists of one process' shares."""

    def __init__(self, db: Queries, master: Link, remote: Remote, clock: Clock, server_name: str) -> None:
        self._db = db
        self._keeping = ListKeeping(db, master)
        self._remote = remote
        self._clock = clock
        self._server_name = server_name
        self._keeper: ShareKeeper | None = None
        self._looking = Ongoing(clock, "looking for stale device lists", self._look_on)
        self._sweeping = Ongoing(clock, "looking for device lists of nobody", self._sweep_on)
        self._woken = False

    def start(self, keeper: ShareKeeper) -> None:
        self._keeper = keeper
        self._looking.start()
        self._sweeping.start()

    def stop(self) -> None:
        self._keeper = None
        self._looking.stop()
        self._sweeping.stop()

    def wake(self) -> None:
        """A list has just become stale."""
        self._woken = True

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
        shards = self._shards()
        if not shards:
            return False
        stale = await remote_devices.stale_lists(self._db, shards, AT_ONCE)
        asking = (self._insist(user_id, version) for user_id, version in stale.items())
        await gatherResults([Deferred.fromCoroutine(one) for one in asking], consumeErrors=True)
        return bool(stale)

    def _shards(self) -> list[int]:
        keeper = self._keeper
        return sorted(keeper.held) if keeper is not None and keeper.may_start() else []

    async def _insist(self, user_id: str, version: int) -> None:
        """Ask for a list, keep it, and tell who can see it."""
        user = (await remote_devices.users(self._db, [user_id], self._server_name)).get(user_id)
        if user is None or user.kept is None:
            await remote_devices.forget(self._db, [version])
            return
        try:
            told = told_list(user_id, await self._remote.get(domain_of(user_id), list_path(user_id)))
            await self._keeping.keep(user, told)
        except MatrixError as error:
            _log.info("the devices of {user} cannot be had: {error}", user=user_id, error=error)
            await remote_devices.ask_later(self._db, user_id, FIRST_RETRY_S, LONGEST_RETRY_S)

    async def _sweep_on(self) -> None:
        while True:
            await pause(self._clock, SWEEP_S)
            try:
                await self.sweep()
            except DatabaseError as error:
                _log.warn("device lists of nobody cannot be looked for: {error}", error=error)

    async def sweep(self) -> None:
        """Drop the lists that nobody keeps up to date."""
        last = ""
        while shards := self._shards():
            lists = await remote_devices.lists_after(self._db, shards, last, SWEPT_AT_ONCE)
            if not lists:
                return
            last = next(reversed(lists))
            users = await remote_devices.users(self._db, list(lists), self._server_name)
            kept = {user_id for user_id, user in users.items() if user.kept is not None}
            gone = [version for user_id, version in lists.items() if user_id not in kept]
            if gone:
                await remote_devices.forget(self._db, gone)
