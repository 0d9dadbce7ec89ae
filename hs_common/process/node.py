"""What every process of a server has, whatever its roles: metrics, health, background work, a pool of connections to
the database, and a row among the members by which the others find it.

Made in a process' `main`, which passes in the reactor, the clock of the day and randomness; nothing here is global.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from email.utils import formatdate
from random import Random
from typing import Any, Final

from twisted.logger import Logger

from hs_common.config import Config
from hs_common.http.authentication import Authenticator
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.listener import Listener
from hs_common.http.rate_limits import RateLimits
from hs_common.http.reception import Reception
from hs_common.http.router import Router
from hs_common.process.background import Background
from hs_common.process.health import Health, Watchdog
from hs_common.process.metrics import Metrics
from hs_common.process.ongoing import Ongoing
from hs_common.process.operating import Operating
from hs_common.process.polling import poll_plainly
from hs_common.process.service import Service
from hs_common.replication.clock import pause
from hs_common.replication.names import FORMAT, OLDEST_FORMAT
from hs_common.storage import members
from hs_common.storage.database import Database
from hs_common.storage.members import Freshness, Member
from hs_common.storage.queries import DatabaseError
from hs_common.version import VERSION

LOOK_AGAIN_S: Final = 0.2  # at most so often between two beats, whatever is asked for
SWEEP_EVERY_BEATS: Final = 300
FIRST_BEAT_S: Final = 0.2
"""The first beats come sooner, so that processes started together soon know of each other."""

_log = Logger()


class Outside:
    """What a process gets from its `main`: Twisted's reactor, the time of day in ms, randomness."""

    def __init__(self, reactor: Any, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes]) -> None:
        self.reactor = reactor
        self.now_ms = now_ms
        self.random_bytes = random_bytes
        self.random = Random(random_bytes(16))  # for jitter and choices, never for secrets

    @classmethod
    def real(cls, reactor: Any) -> "Outside":
        """The world as it is. The reactor's clock becomes one that nobody can set."""
        reactor.seconds = time.monotonic
        poll_plainly(reactor)
        return cls(reactor, lambda: time.time_ns() // 1_000_000, os.urandom)

    def uuid(self) -> str:
        """A random uuid as text."""
        return str(uuid.UUID(bytes=self.random_bytes(16), version=4))


class Node:
    """The common part of a process. `roles` are those it announces; `address` is where it takes calls, if it does."""

    def __init__(self, config: Config, outside: Outside, roles: Sequence[str], connections: int) -> None:
        self.config = config
        self.outside = outside
        self.reactor = outside.reactor
        self.id = outside.uuid()
        self.metrics = Metrics()
        self.background = Background()
        self.health = Health(self.reactor)
        accept_on_s = config.listen.drain_ms / 1000
        self.service = Service(
            self.reactor, self.health, self.background, Watchdog(self.reactor), accept_on_s=accept_on_s
        )
        self.db = Database(
            config.database.url,
            self.reactor,
            outside.random.random,
            size=connections,
            application_name=f"viaduct {' '.join(roles)}",
            observe=self.metrics.statement_finished,
        )
        self.roles = tuple(roles)
        self.living: list[Member] = []
        self._looked_again = float("-inf")
        self._workers: dict[str, list[tuple[str, int]]] = {}
        self._addresses: frozenset[str] = frozenset()
        self.lag_ms: Callable[[], int] = lambda: 0
        self._date = (0, "")
        self._call_address = ""
        self._http_port: int | None = None
        self._freshness = Freshness(self.reactor.seconds)
        self._beating = Ongoing(self.reactor, "the beat of this process", self._beat_on)
        self.metrics.watch_background(self.background)
        self.metrics.watch_reactor(lambda: self.health.longest_turn_s)
        self.health.check_deeply("database", lambda: self.db.fetch_one("SELECT 1"))
        self.service.step("database", _nothing, self.db.close)
        self.service.finish_background()

    # --- who this is ------------------------------------------------------------------------------------------------

    def host(self, listening: str) -> str:
        """The address by which other processes reach what listens on `listening`."""
        if self.config.cluster.advertise_address:
            return self.config.cluster.advertise_address
        if listening not in ("", "0.0.0.0", "::"):
            return listening
        return socket.gethostbyname(socket.gethostname())

    def announce(self, call_address: str = "", http_port: int | None = None) -> None:
        """Adds the step that makes this process known among the members, and keeps it known."""
        self._call_address, self._http_port = call_address, http_port
        self.service.step("membership", self._join, self._leave)

    async def _join(self) -> None:
        await self.register()
        await self._look_around()
        self._beating.start()

    async def register(self) -> None:
        """Write the process' row, anew if it was swept."""
        member = Member(
            id=self.id,
            roles=self.roles,
            version=VERSION,
            oldest_format=OLDEST_FORMAT,
            newest_format=FORMAT,
            address=self._call_address or self.host(self.config.listen.address),
            http_port=self._http_port,
        )
        await members.register(self.db, member)

    async def _leave(self) -> None:
        self._beating.stop()
        await members.remove(self.db, self.id)

    async def _beat_on(self) -> None:
        beats = 0
        while True:
            beats += 1
            await pause(self.reactor, min(members.BEAT_INTERVAL_S, beats * FIRST_BEAT_S))
            try:
                if not await members.beat(self.db, self.id, self.lag_ms()):
                    await self.register()
                await self._look_around()
                if beats % SWEEP_EVERY_BEATS == 0:
                    await members.sweep(self.db)
            except DatabaseError as error:
                _log.warn("cannot show that this process lives: {error}", error=error)

    async def _look_around(self) -> None:
        self.living = self._freshness.observe(await members.members(self.db))
        self._workers.clear()
        self._addresses = frozenset(member.address.rpartition(":")[0] for member in self.living)

    async def look_again(self) -> None:
        """Read anew who lives, unless that was done a moment ago."""
        now = self.reactor.seconds()
        if now - self._looked_again < LOOK_AGAIN_S:
            return
        self._looked_again = now
        try:
            await self._look_around()
        except DatabaseError as error:
            _log.warn("cannot look for other processes: {error}", error=error)

    # --- others -----------------------------------------------------------------------------------------------------

    def find_workers(self, role: str) -> list[tuple[str, int]]:
        """Host and port of the living workers of that role, other processes than this one, in a random order."""
        known = self._workers.get(role)
        if known is None:
            others = [member for member in self.living if member.id != self.id]
            found = members.find_workers(others, role)
            known = self._workers[role] = [
                (member.address.rpartition(":")[0] or member.address, member.http_port or 0) for member in found
            ]
        return self.outside.random.sample(known, len(known))

    def is_member(self, address: str) -> bool:
        """Whether a living process of this server is reached at this address: what it says of its clients is true."""
        return address in self._addresses

    async def find_leader(self) -> str | None:
        """The address of the leader, by its row."""
        leader = await members.find_leader(self.db)
        return None if leader is None else leader.address

    # --- for those who operate --------------------------------------------------------------------------------------

    def operating(self) -> Operating:
        """For the port that clients reach: without metrics, if these have one of their own."""
        return Operating(self.health, None if self.config.metrics.port else self.metrics)

    def listen_for_operators(self) -> None:
        """/metrics, /health and /ready on a port of their own, when the config names one."""
        metrics = self.config.metrics
        if metrics.port == 0:
            return
        router = Router()
        router.add(Operating(self.health, self.metrics), role="")
        authenticator = Authenticator(self.db, self.outside.now_ms, lambda: False)
        dispatcher = Dispatcher(authenticator, RateLimits({}, self.reactor.seconds))
        reception = Reception(
            router=router,
            dispatcher=dispatcher,
            observer=self.metrics,
            monotonic=self.reactor.seconds,
            date=self.date,
            new_request_id=self.request_id,
            is_trusted=lambda address: False,
        )
        self.service.listen(Listener(reception, self.reactor), metrics.address, metrics.port)

    def date(self) -> str:
        """Now, as HTTP's Date header has it, written once a second."""
        now_s = self.outside.now_ms() // 1000
        if self._date[0] != now_s:
            self._date = (now_s, formatdate(now_s, usegmt=True))
        return self._date[1]

    def request_id(self) -> str:
        """An id that no other request of the cluster has."""
        return f"{self.id[:8]}-{self.outside.random.getrandbits(40):010x}"


async def _nothing() -> None:
    return None
