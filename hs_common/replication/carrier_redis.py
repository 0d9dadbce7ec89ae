"""The follower's end of Redis Streams: one plain XREAD after the other, with cursors of its own.

Rules: the log, then the beat, then the ephemeral stream, in one read: Redis answers as of one moment, so a beat that
names a head beyond the read's entries shows a loss. While more entries may follow, the beat is left for the next read.
An error means reconnecting with jitter; the cursors go only up, and what Redis has lost the follower finds elsewhere.
Must not know what entries hold.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from hs_common.replication.carrier import Beat, EphemeralReceiver, Position, Receiver
from hs_common.replication.clock import DelayedCall, pause
from hs_common.replication.entry import BrokenEntry, from_stream, read_stream_id, stream_id
from hs_common.replication.names import (
    BLOCK_MS,
    FIELD_ADDRESS,
    FIELD_BODY,
    FIELD_HEAD,
    READ_COUNT,
    StreamKeys,
)
from hs_common.replication.redis_connection import RedisAway, RedisConnection, RedisRefused, RedisServer

CLOSE_PAUSE_SECONDS = 0.01  # while nobody waits: fewer wake-ups, half the cost of an idle follower
LONG_PAUSE_SECONDS = 0.05  # where nobody notices: several entries at a wake-up when others write much
READ_SECONDS = BLOCK_MS / 1000 + 1.0  # a read that takes longer has no Redis behind it
RECONNECT_SECONDS = (0.1, 0.5)  # between attempts, random in between: followers must not come back in step
LONGEST_RECONNECT = 4.0  # how often the wait doubles at most, as a factor

_log = Logger()

T = TypeVar("T")
StreamReply = Sequence[tuple[bytes, Sequence[tuple[bytes, Sequence[bytes]]]]] | None


class RedisCarrier:
    """Reads the streams of one cluster for one follower and one receiver of ephemeral messages."""

    def __init__(
        self,
        server: RedisServer,
        random: Random,
        keys: StreamKeys,
        ephemeral: EphemeralReceiver,
        pause_s: Callable[[], float] = lambda: CLOSE_PAUSE_SECONDS,
    ) -> None:
        """`pause_s` says how long to pause between two reads, while nobody waits for what may have come."""
        self.reconnects = 0
        self._pause_s = pause_s
        self._server = server
        self._random = random
        self._keys = keys
        self._ephemeral = ephemeral
        # An ephemeral stream is read from its beginning: its messages are values, so all of them still hold.
        self._cursors = {keys.log: b"0-0", keys.beat: b"0-0", keys.ephemeral: b"0-0"}
        self._receiver: Receiver | None = None
        self._connection: RedisConnection | None = None
        self._running: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None

    def start(self, receiver: Receiver, after: Position) -> None:
        """Begins to read after `after`, and goes on for ever."""
        self._receiver = receiver
        self._cursors[self._keys.log] = stream_id(after.epoch, after.pos)
        self._running = Deferred.fromCoroutine(self._run(receiver))
        self._running.addErrback(self._ended)

    def hurry(self) -> None:
        """Ends a pause between two reads."""
        pausing, self._pause = self._pause, None
        if pausing is not None:
            pausing.callback(None)

    async def stop(self) -> None:
        """Ends the connection and every wait."""
        self._receiver = None
        if self._running is not None:
            self._running.cancel()
        if self._connection is not None:
            self._connection.abort()

    def _ended(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            _log.failure("following Redis ended by a bug", failure=failure)

    async def _run(self, receiver: Receiver) -> None:
        factor = 1.0
        while self._receiver is receiver:
            try:
                self._connection = await self._server.connect()
                while self._receiver is receiver:
                    await self._read(self._connection, receiver)
                    factor = 1.0
            except (RedisAway, RedisRefused) as error:
                _log.warn("Redis cannot be followed: {error}", error=error)
            except CancelledError:
                raise
            except Exception:
                _log.failure("following Redis broke off by a bug, and begins anew")
            finally:
                if self._connection is not None:
                    self._connection.abort()
            if self._receiver is not receiver:
                return
            self.reconnects += 1
            await pause(self._server.clock, factor * self._random.uniform(*RECONNECT_SECONDS))
            factor = min(2 * factor, LONGEST_RECONNECT)

    async def _read(self, connection: RedisConnection, receiver: Receiver) -> None:
        timer = self._server.clock.callLater(READ_SECONDS, connection.abort)
        try:
            reply: StreamReply = await connection.send(
                "XREAD", "COUNT", READ_COUNT, "BLOCK", BLOCK_MS, "STREAMS", *self._cursors, *self._cursors.values()
            )
        finally:
            _cancel(timer)
        if reply and self._receiver is receiver:
            self._deliver(dict(reply), receiver)
        if not receiver.someone_waits():
            await self._rest()

    def _deliver(self, streams: dict[bytes, Sequence[tuple[bytes, Sequence[bytes]]]], receiver: Receiver) -> None:
        raw_entries = streams.get(self._keys.log, ())
        entries = _read_all(raw_entries, from_stream)
        beat: Beat | None = None
        if len(raw_entries) < READ_COUNT:  # else entries before the beat may still be to come
            beats = _read_all(streams.get(self._keys.beat, ()), read_beat)
            beat = beats[-1] if beats else None
            self._advance(self._keys.beat, streams)
        self._advance(self._keys.log, streams)
        self._advance(self._keys.ephemeral, streams)
        receiver.receive(entries, beat)
        for counter, body in _read_all(streams.get(self._keys.ephemeral, ()), read_ephemeral):
            self._ephemeral(counter, body)

    def _advance(self, key: bytes, streams: dict[bytes, Sequence[tuple[bytes, Sequence[bytes]]]]) -> None:
        if streams.get(key):
            self._cursors[key] = streams[key][-1][0]

    async def _rest(self) -> None:
        self._pause = Deferred()
        timer = self._server.clock.callLater(self._pause_s(), self.hurry)
        try:
            await self._pause
        finally:
            _cancel(timer)
            self._pause = None


def read_beat(id: bytes, fields: Sequence[bytes]) -> Beat:
    """The beat that the stream holds under `id`. Raises BrokenEntry."""
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    try:
        return Beat(read_stream_id(id)[0], int(values[FIELD_HEAD]), values[FIELD_ADDRESS].decode())
    except (KeyError, ValueError) as error:
        raise BrokenEntry(f"beat {id!r} cannot be read") from error


def read_ephemeral(id: bytes, fields: Sequence[bytes]) -> tuple[int, bytes]:
    """The counter and body of an ephemeral message. Raises BrokenEntry."""
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    if FIELD_BODY not in values:
        raise BrokenEntry(f"ephemeral message {id!r} has no body")
    return read_stream_id(id)[1], values[FIELD_BODY]


def _read_all(raw: Sequence[tuple[bytes, Sequence[bytes]]], read: Callable[[bytes, Sequence[bytes]], T]) -> list[T]:
    """All that can be read; what cannot is as good as lost, which the follower notices."""
    values: list[T] = []
    for id, fields in raw:
        try:
            values.append(read(id, fields))
        except BrokenEntry as error:
            _log.error("Redis holds what is not ours: {error}", error=error)
    return values


def _cancel(timer: DelayedCall) -> None:
    if timer.active():
        timer.cancel()
