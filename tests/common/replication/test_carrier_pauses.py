"""Between two reads of the streams a follower pauses while nobody waits, as long as its process says."""

from collections.abc import Sequence
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.replication.carrier import Beat, Position
from hs_common.replication.carrier_redis import RedisCarrier
from hs_common.replication.entry import Entry
from hs_common.replication.names import stream_keys
from hs_common.replication.redis_connection import RedisServer


class Redis:
    """A server and the connection to it, which answers when it is told to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reads: list[Deferred[Any]] = []

    async def connect(self) -> "Redis":
        return self

    def send(self, *arguments: object) -> Deferred[Any]:
        self.reads.append(Deferred())
        return self.reads[-1]

    def abort(self) -> None:
        """Nothing is there to be cut."""


class Receiver:
    """A follower for whom somebody waits, or nobody does."""

    def __init__(self) -> None:
        self.waits = False

    def receive(self, entries: Sequence[Entry], beat: Beat | None) -> None:
        """Nothing comes here."""

    def someone_waits(self) -> bool:
        return self.waits


def test_a_pause_is_as_long_as_the_process_says_and_ends_when_somebody_waits() -> None:
    redis, receiver, pauses = Redis(), Receiver(), [0.05]
    server = cast(RedisServer, redis)
    carrier = RedisCarrier(server, Random(1), stream_keys("test"), lambda counter, body: None, lambda: pauses[0])
    carrier.start(receiver, Position(1, 1))
    redis.reads[0].callback(None)
    redis.clock.advance(0.049)
    assert len(redis.reads) == 1
    redis.clock.advance(0.002)
    assert len(redis.reads) == 2

    pauses[0] = 0.01
    redis.reads[1].callback(None)
    redis.clock.advance(0.011)
    assert len(redis.reads) == 3

    redis.reads[2].callback(None)
    carrier.hurry()
    assert len(redis.reads) == 4
    receiver.waits = True
    redis.reads[3].callback(None)
    assert len(redis.reads) == 5
