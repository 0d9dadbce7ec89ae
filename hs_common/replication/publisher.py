"""The master's end of Redis Streams: writes what is committed from now on, and never goes back.

Rules: nobody waits for Redis; entries are pipelined, and what is lost on the way is the followers' to repair. Entry ids
are `<epoch>-<position>`, so Redis refuses what is older than its top. A refusal is looked into: a top of our own epoch
means that the entry is there already; a top of a higher epoch means that this process leads no longer, or that someone
with another database writes this stream; which of the two only the leader's row can tell, so the owner is told.
A beat goes out each second, after the entries before it. Must not know what entries hold.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from hs_common.replication.clock import Clock, DelayedCall, pause
from hs_common.replication.entry import BrokenEntry, Entry, read_stream_id, stream_fields, stream_id
from hs_common.replication.names import (
    BEAT_INTERVAL,
    BEATS_KEPT,
    BODY_LIMIT,
    EPHEMERAL_KEPT,
    FIELD_ADDRESS,
    FIELD_BODY,
    FIELD_HEAD,
    StreamKeys,
)
from hs_common.replication.publish_queue import PublishQueue, TrimPlan
from hs_common.replication.redis_connection import Argument, RedisAway, RedisConnection, RedisRefused, RedisServer

RECONNECT_SECONDS = (0.1, 0.5)  # between attempts, random in between
ANSWER_SECONDS = 5.0  # no answer for so long: the connection is dead, or Redis is of no use
TOP_REFUSAL = "equal or smaller"  # of Redis' text when an id is not above the stream's top

_log = Logger()


class Publisher:
    """Publishes one epoch of the log. Made at the take-over, stopped when leadership ends.

    `is_leading` is asked before each beat: a leader that is not sure says nothing. `on_newer_epoch` is called once with
    the epoch of the stream's top if that is above ours; nothing is published after that. The owner then reads the
    leader's row: if it names another, it steps down; if it still names us, another database writes our stream: exit.
    """

    def __init__(
        self,
        server: RedisServer,
        random: Random,
        keys: StreamKeys,
        epoch: int,
        head: int,
        address: str,
        is_leading: Callable[[], bool],
        on_newer_epoch: Callable[[int], None],
    ) -> None:
        self.failures = 0  # connections lost and commands refused
        self.queue = PublishQueue()
        self._server = server
        self._clock: Clock = server.clock
        self._random = random
        self._keys = keys
        self._epoch = epoch
        self._head = head
        self._address = address
        self._is_leading = is_leading
        self._on_newer_epoch = on_newer_epoch
        self._trim = TrimPlan(epoch, self._clock.seconds())
        self._beats = 0
        self._connection: RedisConnection | None = None
        self._running: Deferred[None] | None = None
        self._stopped = False
        self._beat_timer: DelayedCall | None = None
        self._asking_top = False
        self._last_answer = 0.0

    def start(self) -> None:
        """Connects, and beats until stopped."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._ended)
        self._beat_timer = self._clock.callLater(0, self._beat)

    async def stop(self) -> None:
        """Publishes nothing more. What still waits is written first if Redis is there."""
        self._flush()
        self._halt()

    def publish(self, entry: Entry) -> None:
        """Offers a committed entry; positions rise."""
        self._head = entry.pos
        if not self._stopped:
            self.queue.add(entry)
            self._flush()

    def publish_ephemeral(self, counter: int, body: bytes) -> None:
        """Offers an ephemeral message; while Redis is away it is lost, its value is told again later."""
        if self._connection is not None and not self._stopped:
            id = stream_id(self._epoch, counter)
            limit = ("MAXLEN", "~", EPHEMERAL_KEPT)
            self._command("XADD", self._keys.ephemeral, *limit, id, FIELD_BODY, body)

    # --- writing --------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        connection = self._connection
        if connection is None or self._stopped:
            return
        now = self._clock.seconds()
        for entry in self.queue.take():
            id = stream_id(entry.epoch, entry.pos)
            reply = connection.send("XADD", self._keys.log, id, *stream_fields(entry, BODY_LIMIT))
            reply.addCallbacks(self._entry_written, self._entry_failed, callbackArgs=(entry, now))

    def _entry_written(self, reply: Any, entry: Entry, now: float) -> None:
        self.queue.answered()
        self._last_answer = self._clock.seconds()
        self._trim.written(entry, now)

    def _entry_failed(self, failure: Any) -> None:
        if failure.check(RedisRefused):
            self.queue.answered()
        self._failed(failure)

    def _command(self, *arguments: Argument) -> None:
        """A command whose answer only matters if it is a refusal."""
        assert self._connection is not None
        self._connection.send(*arguments).addCallbacks(self._answered, self._failed)

    def _answered(self, reply: Any) -> None:
        self._last_answer = self._clock.seconds()

    def _failed(self, failure: Any) -> None:
        if failure.check(RedisAway):
            return  # the connection's end is noticed where it is kept
        failure.trap(RedisRefused)
        self.failures += 1
        if TOP_REFUSAL in failure.getErrorMessage():
            self._look_at_top()
        elif self._connection is not None:
            _log.warn("Redis refuses: {error}", error=failure.getErrorMessage())
            self._connection.abort()  # full, loading, or read-only: perhaps another server answers next time

    def _look_at_top(self) -> None:
        if not self._asking_top and self._connection is not None:
            self._asking_top = True
            Deferred.fromCoroutine(self._judge_top(self._connection)).addErrback(self._ended)

    async def _judge_top(self, connection: RedisConnection) -> None:
        try:
            top = await read_top_epoch(connection, self._keys)
        except (RedisAway, RedisRefused):
            return  # the next refusal asks again
        finally:
            self._asking_top = False
        if top > self._epoch and not self._stopped:
            self._halt()
            self._on_newer_epoch(top)

    # --- the beat -------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        self._beat_timer = self._clock.callLater(BEAT_INTERVAL, self._beat)
        if self._connection is None:
            return
        if self._clock.seconds() - self._last_answer > ANSWER_SECONDS:
            self._connection.abort()
            return
        if self._is_leading():
            self._flush()
            self._beats += 1
            id = stream_id(self._epoch, self._beats)
            values = (FIELD_HEAD, self._head, FIELD_ADDRESS, self._address)
            self._command("XADD", self._keys.beat, "MAXLEN", BEATS_KEPT, id, *values)
        oldest = self._trim.oldest_id(self._clock.seconds())
        if oldest is not None:
            self._command("XTRIM", self._keys.log, "MINID", "~", oldest)

    # --- the connection -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopped:
            try:
                connection = await self._server.connect()
                if self._stopped:
                    connection.abort()
                    return
                await self._use(connection)
            except (RedisAway, RedisRefused) as error:
                _log.warn("Redis cannot be written: {error}", error=error)
            except CancelledError:
                raise
            except Exception:
                _log.failure("publishing to Redis broke off by a bug, and begins anew")
            if self._stopped:
                return
            self.failures += 1
            await pause(self._clock, self._random.uniform(*RECONNECT_SECONDS))

    async def _use(self, connection: RedisConnection) -> None:
        if not connection.is_open:
            raise RedisAway("the connection ended at once")
        lost: Deferred[None] = Deferred()
        connection.when_lost(lambda: None if lost.called else lost.callback(None))
        self._connection = connection
        self._last_answer = self._clock.seconds()
        try:
            self._flush()
            await lost
        finally:
            self._connection = None
            self.queue.lost()
            if not lost.called:  # a fault of ours
                connection.abort()

    def _halt(self) -> None:
        self._stopped = True
        connection, self._connection = self._connection, None
        if self._beat_timer is not None and self._beat_timer.active():
            self._beat_timer.cancel()
        if self._running is not None:
            self._running.cancel()
        if connection is not None:
            connection.close()

    def _ended(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            _log.failure("publishing to Redis ended by a bug", failure=failure)


async def read_top_epoch(connection: RedisConnection, keys: StreamKeys) -> int:
    """The highest epoch at the top of the cluster's streams; 0 if they are empty. Raises RedisAway, RedisRefused.

    A new leader's epoch is above it, so that Redis takes its entries whatever Redis has kept.
    """
    top = 0
    for key in (keys.log, keys.beat, keys.ephemeral):
        for id, _ in await connection.send("XREVRANGE", key, "+", "-", "COUNT", 1):
            try:
                top = max(top, read_stream_id(id)[0])
            except BrokenEntry as error:  # not possible in a stream; said rather than hidden
                _log.error("{error}", error=error)
    return top
