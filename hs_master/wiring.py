"""Puts a master together. The only place that knows which of its parts needs which."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

from hs_common.appservices.files import read_file
from hs_common.matrix.appservice import BadRegistration
from hs_common.matrix.signing import SigningKey
from hs_common.process.node import Node
from hs_common.process.signing_key import read_signing_key
from hs_common.process.worker_threads import WorkerThreads
from hs_common.replication.carrier import Beat, Carrier
from hs_common.replication.carrier_memory import MemoryCarrier
from hs_common.replication.carrier_redis import RedisCarrier
from hs_common.replication.link_server import LinkServer
from hs_common.replication.names import FORMAT, OLDEST_FORMAT, stream_keys
from hs_common.replication.outbox import Outbox
from hs_common.replication.publisher import Publisher, read_top_epoch
from hs_common.replication.redis_connection import RedisAway, RedisRefused, RedisServer
from hs_master import tables
from hs_master.appservice_files import Listed
from hs_master.copied_process import CopiedProcess
from hs_master.desk import Desk
from hs_master.ephemeral import EphemeralDesk
from hs_master.leadership import Election
from hs_master.leading import Term
from hs_master.log_store.postgres import PostgresLogStore
from hs_master.log_store.types import Candidate, Leadership
from hs_master.master import Announcer, Master, Silent
from hs_master.memory_announcer import MemoryAnnouncer
from hs_master.pipeline.writer import WriterMetrics
from hs_master.rooms.compose import Composer
from hs_master.standby import Standby
from hs_master.step import Knowledge

# State resolutions at a time: one takes a core whole, and the reactor needs the other.
RESOLVING_THREADS: Final = 1
# Each room's calls wait for its own; a thousand rooms resolving at once is far beyond what one machine carries.
RESOLVING_QUEUE: Final = 1_000

_log = Logger()


class MasterParts:
    """A master on a node: its desk, its link server, itself."""

    def __init__(self, node: Node, carrier: MemoryCarrier | None, on_failure: Callable[[Exception], None]) -> None:
        """`carrier` is given where workers run in the same process; else Redis carries the log, if it is configured."""
        self._node = node
        self._carrier = carrier
        config, outside = node.config, node.outside
        self.address = f"{node.host(config.cluster.call_address)}:{config.cluster.call_port}"
        self._redis = RedisServer(node.reactor, config.redis.url) if config.redis.url and carrier is None else None
        self._keys = stream_keys(config.cluster.id)
        self._store = PostgresLogStore(
            config.database.url, node.reactor, node.db, lambda: outside.now_ms() * 1000, tables.ORDER
        )
        candidate = Candidate(node.id, self.address, OLDEST_FORMAT, FORMAT)
        self._election = Election(
            self._store, candidate, node.reactor, node.register, self._stream_epoch, _say, _time_with_sleep
        )
        self.desk = Desk(lambda: self._election.is_leader, self._election.check)
        self._composer = Composer(config.server.name, _signing_key(node), self._new_event_id)
        self.master = Master(self._election, self._term, self._announcer, self._leader_address, self._make_standby)
        self.link = LinkServer(
            node.reactor,
            config.cluster.secret.encode(),
            config.cluster.id,
            outside.random_bytes,
            self.master.leadership,
            self.desk.work,
        )
        self.master.link = self.link
        self._on_failure = on_failure
        self._resolving = WorkerThreads(node.reactor, RESOLVING_THREADS, "state resolution", RESOLVING_QUEUE)
        self._copied = CopiedProcess(node.reactor)
        self._port: Any = None
        self._listed_services: Listed = ()

    def add_steps(self) -> None:
        """What the process starts and stops for its master."""
        node = self._node
        node.metrics.watch_queue("calls", lambda: self.master.waiting)
        node.service.step("state resolution", _nothing, self._close_threads)
        node.service.step("master", self._start, self.master.stop)

    async def _start(self) -> None:
        config = self._node.config
        try:
            self._listed_services = [
                read_file(Path(name), config.server.name) for name in config.appservices.registrations
            ]
        except BadRegistration as error:
            self._on_failure(error)
            return
        self.master.start(self._on_failure)

    async def _close_threads(self) -> None:
        self._resolving.close()

    async def listen(self) -> None:
        """Take calls of workers in other processes."""
        cluster = self._node.config.cluster
        self._port = self._node.reactor.listenTCP(cluster.call_port, self.link, interface=cluster.call_address)

    async def stop_listening(self) -> None:
        if self._port is not None:
            await self._port.stopListening()
        self.link.close()

    def beat(self) -> Beat | None:
        """The sign of life for followers in the same process."""
        epoch = self.master.epoch
        return None if epoch is None else Beat(epoch, self.master.head, self.address)

    # --- what the master is made of -----------------------------------------------------------------------------------

    def _make_standby(self) -> Standby | None:
        """Only where another process may lead: workers in this process mean that this is the only one."""
        if self._carrier is not None:
            return None
        node = self._node
        return Standby(
            node.db,
            node.reactor,
            node.outside.random,
            Outbox(node.db),
            self._make_carrier,
            node.config.server.name,
            node.background,
        )

    def _make_carrier(self) -> Carrier | None:
        if self._redis is None:
            return None
        return RedisCarrier(self._redis, self._node.outside.random, self._keys, lambda counter, body: None)

    def _term(self, master: Master, leadership: Leadership, knowledge: Knowledge) -> Term:
        node, outside = self._node, self._node.outside
        ephemeral = EphemeralDesk(node.reactor, outside.now_ms, master.publish_ephemeral)
        return Term(
            leadership=leadership,
            log=self._store,
            election=self._election,
            desk=self.desk,
            db=node.db,
            clock=node.reactor,
            composer=self._composer,
            server_name=node.config.server.name,
            publish=master.publish,
            on_new_epoch=master.take_new_epoch,
            ephemeral=ephemeral,
            metrics=WriterMetrics(node.metrics.committed),
            now_ms=outside.now_ms,
            new_batch_id=outside.uuid,
            background=node.background,
            listed_services=self._listed_services,
            aside=self._resolving.run,
            knowledge=knowledge,
            rehearse=self._copied.rehearse,
        )

    def _announcer(self, master: Master, leadership: Leadership) -> Announcer:
        if self._carrier is not None:
            return MemoryAnnouncer(self._carrier)
        if self._redis is None:
            return Silent()
        return Publisher(
            self._redis,
            self._node.outside.random,
            self._keys,
            leadership.epoch,
            leadership.head,
            self.address,
            master.is_leading,
            lambda epoch: master.fenced(),
        )

    async def _stream_epoch(self) -> int:
        """The epoch at the top of the stream; 0 when Redis does not say."""
        if self._redis is None:
            return 0
        try:
            connection = await self._redis.connect()
            try:
                return await read_top_epoch(connection, self._keys)
            finally:
                connection.close()
        except (RedisAway, RedisRefused):
            return 0

    def _leader_address(self) -> str | None:
        return None  # a worker reads the leader's row itself

    def _new_event_id(self) -> str:
        return f"${self._node.outside.random_bytes(16).hex()}:{self._node.config.server.name}"


async def _nothing() -> None:
    return None


def _signing_key(node: Node) -> SigningKey:
    return read_signing_key(Path(node.config.server.signing_key_file))


def _time_with_sleep() -> float:
    """Seconds that also count while the machine sleeps: a leader that wakes up must know that it was away."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _say(text: str) -> None:
    _log.warn("{text}", text=text)
