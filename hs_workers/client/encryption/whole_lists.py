"""Asks other servers for whole device lists, and keeps them.

Rules: who wants a list that is just being asked for waits for it, and gets it only if it could be kept, as then nothing
was written of it since before the request; who began has an answer that is newer than the own question in any case.
Who told no list, or none that can be kept, is not asked again for a while.

Spec: server-server API, #get_matrixfederationv1userdevicesuserid.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.federation.client import FederationClient
from hs_common.federation.failures import AnsweredError, BadAnswer
from hs_common.federation.list_keeping import ListKeeping, list_path
from hs_common.federation.remote_keys import ToldList, told_list
from hs_common.http.egress.connection import Limits
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of
from hs_common.process.shares import shard_of
from hs_common.storage import remote_devices
from hs_common.storage.queries import Queries
from hs_common.storage.remote_devices import NOTHING_YET, KeptList, RemoteUser

BEGUN_S: Final = 60.0
"""So long whoever begins a list has for it, before the holder of its share asks."""
UNLISTED_LIMIT: Final = 10_000
UNLISTED_S: Final = 3600.0
WAITS: Final = 3
"""For what others ask; a list that changes as often meanwhile is asked for by everybody for himself."""

_log = Logger()


class NotListed(Exception):
    """The server answered, but no list that can be kept: it has to be asked for the user's keys."""


class _UnderWay(NamedTuple):
    """A list of this version is being asked for; who waits gets it if it was kept, else None."""

    version: int
    waiting: list[Deferred[ToldList | None]]


class WholeLists:
    """Asks. `seconds` is a clock that never goes back."""

    def __init__(
        self,
        db: Queries,
        keeping: ListKeeping,
        federation: FederationClient,
        server_name: str,
        seconds: Callable[[], float],
    ) -> None:
        self._db = db
        self._keeping = keeping
        self._federation = federation
        self._server_name = server_name
        self._seconds = seconds
        self._under_way: dict[str, _UnderWay] = {}
        self._unlisted = Bounded[str, float](UNLISTED_LIMIT)

    def is_listed(self, user_id: str) -> bool:
        """Whether it is worth asking for the user's list."""
        until = self._unlisted.get(user_id)
        return until is None or until <= self._seconds()

    async def begin(self, users: Sequence[RemoteUser], seconds: float) -> dict[str, RemoteUser]:
        """The users with lists that can be asked for: those that have none, or one that is worth nothing, get a new
        one, but who was quicker is left out. After so many seconds the holders of their shares ask too."""
        new = [user for user in users if user.kept is None]
        versions: dict[str, int] = {}
        if new:
            shards = [shard_of(user.user_id) for user in new]
            versions = await remote_devices.begin(self._db, new, shards, seconds)
        begun = [
            user._replace(version=version, kept=KeptList(version, NOTHING_YET, True, 0, {}, {}))
            for user in new
            if (version := versions.get(user.user_id)) is not None
        ]
        return {user.user_id: user for user in (*begun, *users) if user.kept is not None}

    async def ask(self, user: RemoteUser, limits: Limits) -> ToldList:
        """The list of a user that was begun. Raises NotListed, FederationError."""
        for _ in range(WAITS):
            under_way = self._under_way.get(user.user_id)
            # Who has little time does not spend it on somebody else's.
            if limits.hurried or user.kept is None or under_way is None or under_way.version != user.kept.version:
                break
            waiting: Deferred[ToldList | None] = Deferred()
            under_way.waiting.append(waiting)
            told = await waiting
            if told is not None:
                return told
            user = (await remote_devices.users(self._db, [user.user_id], self._server_name)).get(user.user_id, user)
            if user.kept is not None and not user.kept.is_stale:
                return ToldList(user.kept.stream_id, user.kept.devices, user.kept.keys)
        return await self._ask(user, limits)

    async def _ask(self, user: RemoteUser, limits: Limits) -> ToldList:
        mine = _UnderWay(user.kept.version if user.kept is not None else 0, [])
        self._under_way[user.user_id] = mine
        told: ToldList | None = None
        is_kept = False
        try:
            told = await self._fetched(user.user_id, limits)
            is_kept = await self._keep(user, told)
            return told
        finally:
            if self._under_way.get(user.user_id) is mine:
                del self._under_way[user.user_id]
            for one in mine.waiting:
                one.callback(told if is_kept else None)

    async def _fetched(self, user_id: str, limits: Limits) -> ToldList:
        try:
            return told_list(user_id, await self._federation.get(domain_of(user_id), list_path(user_id), None, limits))
        except AnsweredError as error:
            if error.status == 429 or error.status >= 500:
                raise
            self._unlisted[user_id] = self._seconds() + UNLISTED_S
            raise NotListed from error
        except (BadAnswer, MatrixError) as error:
            self._unlisted[user_id] = self._seconds() + UNLISTED_S
            raise NotListed from error

    async def _keep(self, user: RemoteUser, told: ToldList) -> bool:
        if user.kept is None:
            return False
        try:
            return await self._keeping.keep(user, told)
        except MatrixError as error:
            _log.warn("the devices of {user} are not kept: {error}", user=user.user_id, error=error)
            return False
