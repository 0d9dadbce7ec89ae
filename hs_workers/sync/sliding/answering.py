"""From a request of sliding sync to its answer: at which position, from where, waiting while there is nothing to tell.

Rules. As for /sync: who does not wait is answered with all that was committed before he asked, from this process'
memory if that is there in time, else from the database; who waits is answered at this process' position. A token of a
connection that is not known, of somebody else, or of a history that the log has lost is M_UNKNOWN_POS.

Spec: MSC4186.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hs_common.matrix.tokens import SlidingToken, SyncToken
from hs_common.process.background import Background
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.settings import Settings
from hs_common.replication.ephemeral_view import EphemeralView
from hs_common.storage import log
from hs_common.storage.queries import Queries
from hs_workers.sync.answering import AHEAD_SECONDS, SLICE_SECONDS, Log
from hs_workers.sync.audience import Audience
from hs_workers.sync.devices import NOTHING, DeviceNews, Devices
from hs_workers.sync.lost_history import LostHistory
from hs_workers.sync.parameters import Reader
from hs_workers.sync.sliding.connection import Connection
from hs_workers.sync.sliding.connections import Connections
from hs_workers.sync.sliding.extensions import to_device_since
from hs_workers.sync.sliding.lists import View
from hs_workers.sync.sliding.parse import unknown_pos
from hs_workers.sync.sliding.question import SlidingRequest
from hs_workers.sync.sliding.telling import Telling, Told
from hs_workers.sync.sliding.viewing import Viewing
from hs_workers.sync.waiting import WaitingClients, Wake

# How long this process is waited for to be at the head, before the database is asked for everything.
NEAR_SECONDS: Final = 0.2
DEVICE_EXTENSIONS: Final = ("to_device", "e2ee")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with who asks, what the connection was sent before, and when it came."""

    reader: Reader
    request: SlidingRequest
    connection: Connection
    came_s: float


class SlidingAnswering:
    """Answers one process' requests."""

    def __init__(
        self,
        db: Queries,
        follower: Callable[[], Log],
        audience: Audience,
        waiting: WaitingClients,
        settings: ReaderSettings,
        devices: Devices,
        viewing: Viewing,
        view: EphemeralView,
        telling: Telling,
        background: Background,
        seconds: Callable[[], float],
    ) -> None:
        self._db = db
        self._follower = follower
        self._audience = audience
        self._waiting = waiting
        self._settings = settings
        self._devices = devices
        self._viewing = viewing
        self._ephemeral = view
        self._telling = telling
        self._seconds = seconds
        self._connections = Connections(db, background, seconds)
        self._lost = LostHistory(db, lambda: follower().position.epoch)

    async def answer(self, reader: Reader, request: SlidingRequest, is_there: Callable[[], None]) -> bytes:
        """The body. `is_there` is called now and then while the client waits. Raises M_UNKNOWN_POS, and 401 when the
        token is revoked meanwhile."""
        came_s = self._seconds()
        asked = Asked(reader, request, await self._connections.of(reader, request), came_s)
        is_there()
        if request.pos is None or request.timeout_s <= 0:
            return await self._at_once(asked)
        await self._check(request.pos)
        deadline = self._seconds() + request.timeout_s
        while True:
            user = await self._audience.track(reader.user_id)
            seen = user.news
            told = await self._here(asked) or await self._at_head(asked)
            left = deadline - self._seconds()
            if told.has_news or left <= 0 or self._audience.get(reader.user_id) is not user:
                return await self._finish(asked, told)
            why = await self._waiting.wait(reader, user, seen, min(left, SLICE_SECONDS))
            if why is Wake.END:
                return await self._finish(asked, told)
            is_there()
            if await self._lost.before(request.pos.position) is not None:
                raise unknown_pos()

    async def _check(self, pos: SlidingToken) -> None:
        """This process comes to where the token is, and the log still has that place."""
        follower = self._follower()
        if not (follower.is_live and follower.position.pos >= pos.position):
            follower.catch_up()
            await follower.wait_for(pos.position, AHEAD_SECONDS)
        await self._check_history(pos)

    async def _check_history(self, pos: SlidingToken) -> None:
        if await self._lost.before(pos.position) is not None:
            raise unknown_pos()
        if pos.position > self._follower().position.pos and pos.position > await log.head(self._db):
            raise unknown_pos()

    async def _at_once(self, asked: Asked) -> bytes:
        now = await log.head(self._db)
        pos = asked.request.pos
        if pos is not None:
            if pos.position > now:
                raise unknown_pos()
            await self._check_history(pos)
        follower = self._follower()
        is_near = follower.is_live and (follower.position.pos >= now or await follower.wait_for(now, NEAR_SECONDS))
        told = await self._here(asked) if is_near else None
        return await self._finish(asked, told or await self._at_head(asked))

    async def _here(self, asked: Asked) -> Told | None:
        """At this process' position; None if it is not where the token is, or changes faster than it can be read."""
        await self._audience.track(asked.reader.user_id)
        settings = await self._settings.of(asked.reader.user_id)
        view = await self._viewing.from_memory(asked.reader.user_id, asked.request, asked.connection.rooms)
        pos = asked.request.pos
        if view is None or (pos is not None and view.position < pos.position):
            return None
        return await self._tell(asked, settings, view)

    async def _at_head(self, asked: Asked) -> Told:
        """At the head, everything from the database."""
        now = await log.head(self._db)
        settings = await self._settings.fresh(asked.reader.user_id)
        view = await self._viewing.from_database(asked.reader.user_id, asked.request, asked.connection.rooms, now)
        return await self._tell(asked, settings, view)

    async def _tell(self, asked: Asked, settings: Settings, view: View) -> Told:
        # What is in memory is looked at first, in this very turn: it is at the view's position.
        counter = 0 if asked.request.pos is None else asked.request.pos.ephemeral
        changes, next_counter = self._ephemeral.changes_since(counter), self._ephemeral.next_token(counter)
        prepared = self._telling.prepare(asked.reader, asked.request, asked.connection, settings, view)
        device = await self._device(asked, view.position)
        return await self._telling.tell(prepared, device, changes, next_counter)

    async def _device(self, asked: Asked, upto: int) -> DeviceNews:
        wanted = [name for name in DEVICE_EXTENSIONS if name in asked.request.extensions]
        if not wanted:
            return NOTHING
        extension = asked.request.extensions.get("to_device")
        received = 0 if extension is None else to_device_since(extension)
        since = SyncToken(upto, received)
        is_here = upto == self._follower().position.pos
        known = self._devices.from_memory(asked.reader, since) if is_here else None
        news = known or await self._devices.read(asked.reader, since, upto)
        return news if extension is not None else news._replace(messages=())

    async def _finish(self, asked: Asked, told: Told) -> bytes:
        """The connection is kept as it is now, and named in the answer."""
        took_s = self._seconds() - asked.came_s
        version = await self._connections.keep(asked.reader, asked.request, asked.connection, told.connection, took_s)
        pos = str(SlidingToken(told.position, told.ephemeral, version))
        self._telling.was_sent(asked.reader, asked.request, told, pos)
        return told.body(pos)
