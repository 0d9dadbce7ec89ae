"""Publisher and follower over a real Redis: whatever happens to it, followers end with the truth."""

import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, cast

import pytest
import redis
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs

from hs_common.process.embedded_redis import EmbeddedRedis
from hs_common.replication.carrier import Beat, Position
from hs_common.replication.carrier_redis import RedisCarrier, read_beat, read_ephemeral
from hs_common.replication.entry import BrokenEntry, Entry
from hs_common.replication.follower import Follower
from hs_common.replication.names import BODY_LIMIT, READ_COUNT, stream_keys
from hs_common.replication.publisher import Publisher, read_top_epoch
from hs_common.replication.redis_connection import RedisAway, RedisConnection, RedisRefused, RedisServer
from tests.common.replication.log import MemoryOutbox, Recorder, names_of
from tests.reactor import reactor, run, until

KEYS = stream_keys("test")


class Cluster:
    """A publisher and a follower on one Redis, with a memory outbox."""

    def __init__(self, url: str) -> None:
        self.server = RedisServer(reactor, url)
        self.client = redis.Redis.from_url(url)
        self.outbox = MemoryOutbox()
        self.newer_epochs: list[int] = []
        self.messages: list[tuple[int, bytes]] = []
        self.recorder = Recorder(self.outbox)
        self.publisher = self.new_publisher()
        self.faults: list[Exception] = []
        self.carrier = RedisCarrier(self.server, Random(1), KEYS, self._hear)
        subscriptions = [self.recorder.subscription()]
        self.follower = Follower(reactor, Random(2), self.outbox, subscriptions, lambda error: None)

    def new_publisher(self) -> Publisher:
        head = self.outbox.beat().head
        epoch = self.outbox.epoch
        return Publisher(self.server, Random(3), KEYS, epoch, head, "master:1", lambda: True, self.newer_epochs.append)

    async def __aenter__(self) -> "Cluster":
        self.publisher.start()
        await self.follower.start(self.carrier)
        await self.beat_heard()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.follower.stop()
        await self.publisher.stop()
        self.client.close()

    def _hear(self, counter: int, body: bytes) -> None:
        if self.faults:
            raise self.faults.pop()
        self.messages.append((counter, body))

    async def beat_heard(self) -> None:
        """Waits until the follower has heard a beat that comes after now."""
        self.follower.leader_address = ""
        await until(lambda: self.follower.leader_address)

    def append(self, *names: str) -> Entry:
        entry = self.outbox.commit(*names)
        self.publisher.publish(entry)
        return entry

    async def caught_up(self) -> None:
        await until(lambda: self.follower.position.pos == self.outbox.beat().head)
        assert self.recorder.names == names_of(self.outbox.rows)


def play(url: str, part: Callable[[Cluster], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Cluster(url) as cluster:
            await part(cluster)

    run(whole(), timeout=40)


def test_entries_arrive_without_the_outbox(redis_url: str) -> None:
    async def part(cluster: Cluster) -> None:
        await cluster.caught_up()
        reads = cluster.outbox.reads
        for number in range(3 * READ_COUNT):
            cluster.append(f"{number}")
        await cluster.caught_up()
        assert cluster.follower.counts.repairs == 0
        assert cluster.outbox.reads == reads
        assert cluster.follower.leader_address == "master:1"

    play(redis_url, part)


def test_a_large_body_is_read_in_the_outbox(redis_url: str) -> None:
    async def part(cluster: Cluster) -> None:
        cluster.append("x" * (BODY_LIMIT + 1))
        cluster.append("small")
        await cluster.caught_up()
        assert cluster.follower.counts.repairs >= 1
        assert cluster.client.xinfo_stream(KEYS.log)["length"] == 2

    play(redis_url, part)


def test_ephemeral_messages_arrive(redis_url: str) -> None:
    async def part(cluster: Cluster) -> None:
        cluster.publisher.publish_ephemeral(7, b"a")
        cluster.publisher.publish_ephemeral(8, b"b")
        await until(lambda: len(cluster.messages) == 2)
        assert cluster.messages == [(7, b"a"), (8, b"b")]

    play(redis_url, part)


def test_following_goes_on_after_a_bug_of_a_listener(redis_url: str) -> None:
    async def part(cluster: Cluster) -> None:
        cluster.faults.append(ValueError("a bug"))
        with capturedLogs() as logs:
            cluster.publisher.publish_ephemeral(7, b"a")
            await until(lambda: cluster.carrier.reconnects)
        assert [log["log_failure"].getErrorMessage() for log in logs if "log_failure" in log] == ["a bug"]
        cluster.append("after")
        cluster.publisher.publish_ephemeral(8, b"b")
        await until(lambda: cluster.messages == [(8, b"b")])
        await cluster.caught_up()

    play(redis_url, part)


def test_publishing_goes_on_after_a_bug(own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def part(cluster: Cluster) -> None:
        faults = [ValueError("a bug")]
        take = cluster.publisher.queue.take

        def take_or_fail() -> list[Entry]:
            if faults:
                raise faults.pop()
            return take()

        monkeypatch.setattr(cluster.publisher.queue, "take", take_or_fail)
        with capturedLogs() as logs:
            cluster.client.client_kill_filter(_type="normal")
            await until(lambda: not faults)
        assert "a bug" in [log["log_failure"].getErrorMessage() for log in logs if "log_failure" in log]
        cluster.append("after")
        await cluster.beat_heard()
        await cluster.caught_up()

    play(own_redis.url(), part)


@pytest.mark.parametrize("command", ["FLUSHALL", "DEL"])
def test_a_wiped_stream_is_repaired(own_redis: EmbeddedRedis, command: str) -> None:
    async def part(cluster: Cluster) -> None:
        cluster.append("before")
        await cluster.caught_up()
        cluster.outbox.commit("never reached Redis")
        if command == "FLUSHALL":
            cluster.client.flushall()
        else:
            cluster.client.delete(KEYS.log, KEYS.beat)
        cluster.append("after")
        await cluster.caught_up()
        assert cluster.follower.counts.repairs >= 1

    play(own_redis.url(), part)


def test_a_lost_tail_that_nothing_follows_is_repaired_by_the_beat(redis_url: str) -> None:
    async def part(cluster: Cluster) -> None:
        entry = cluster.outbox.commit("a")
        cluster.publisher.publish(entry)
        cluster.client.xtrim(KEYS.log, maxlen=0, approximate=False)
        await cluster.caught_up()

    play(redis_url, part)


def test_cut_connections_come_back(own_redis: EmbeddedRedis) -> None:
    # A server of its own: the command cuts every connection to it.
    async def part(cluster: Cluster) -> None:
        for name in "abc":
            cluster.client.client_kill_filter(_type="normal", skipme=True)
            cluster.append(name)
            await cluster.caught_up()
        await cluster.beat_heard()
        assert cluster.carrier.reconnects >= 1

    play(own_redis.url(), part)


def test_a_killed_redis_stops_nothing(own_redis: EmbeddedRedis) -> None:
    async def part(cluster: Cluster) -> None:
        cluster.append("a")
        await cluster.caught_up()
        own_redis.kill()
        cluster.append("b")
        await cluster.caught_up()  # from the outbox alone
        own_redis.start()
        cluster.append("c")
        await cluster.beat_heard()
        await cluster.caught_up()
        reads = cluster.outbox.reads
        cluster.append("d")
        await cluster.caught_up()
        assert cluster.outbox.reads - reads <= 1

    play(own_redis.url(), part)


def test_a_follower_starts_without_redis(own_redis: EmbeddedRedis) -> None:
    async def part() -> None:
        url = own_redis.url()
        own_redis.kill()
        cluster = Cluster(url)
        cluster.outbox.commit("a")
        await cluster.follower.start(cluster.carrier)
        assert cluster.recorder.names == ["a"]
        cluster.outbox.commit("b")
        await cluster.caught_up()
        await cluster.follower.stop()

    run(part())


def test_a_repeat_is_no_conflict_and_a_newer_epoch_is(redis_url: str) -> None:
    async def part(cluster: Cluster) -> None:
        entry = cluster.append("a")
        await cluster.caught_up()
        cluster.publisher.publish(entry)
        await until(lambda: cluster.publisher.failures == 1)
        cluster.append("b")
        await cluster.caught_up()
        assert cluster.newer_epochs == []
        cluster.client.xadd(KEYS.log, {"p": 0, "f": 1, "b": b""}, id="9-1")
        cluster.append("c")
        await until(lambda: cluster.newer_epochs)
        assert cluster.newer_epochs == [9]
        written = cluster.client.xlen(KEYS.log)
        cluster.append("d")
        assert cluster.client.xlen(KEYS.log) == written

    play(redis_url, part)


def test_a_new_leader_goes_on(redis_url: str) -> None:
    async def part(cluster: Cluster) -> None:
        cluster.append("a")
        await cluster.caught_up()
        await cluster.publisher.stop()
        connection = await cluster.server.connect()
        assert await read_top_epoch(connection, KEYS) == 1
        connection.close()
        cluster.outbox.lose_tail(1)
        cluster.publisher = cluster.new_publisher()
        cluster.publisher.start()
        cluster.append("b")
        await cluster.caught_up()
        assert cluster.recorder.names == ["b"]
        assert cluster.follower.highest_epoch == 2

    play(redis_url, part)


def test_a_full_redis_loses_nothing(own_redis: EmbeddedRedis) -> None:
    async def part(cluster: Cluster) -> None:
        cluster.client.config_set("maxmemory", 1)
        cluster.append("a")
        await cluster.caught_up()
        cluster.client.config_set("maxmemory", 0)
        await cluster.beat_heard()
        cluster.append("b")
        await cluster.caught_up()

    play(own_redis.url(), part)


def test_logs_in_and_selects(own_redis: EmbeddedRedis) -> None:
    client = redis.Redis.from_url(own_redis.url())
    client.acl_setuser("alice", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"])
    client.close()
    base = own_redis.url().removeprefix("redis://").split("/")[0]

    async def part() -> None:
        connection = await RedisServer(reactor, f"redis://alice:secret@{base}/3").connect()
        assert await connection.send("ACL", "WHOAMI") == b"alice"
        assert b" db=3 " in await connection.send("CLIENT", "INFO")
        connection.close()
        with pytest.raises(RedisRefused, match="WRONGPASS"):
            await RedisServer(reactor, f"redis://alice:wrong@{base}/3").connect()

    run(part())


def test_what_is_no_redis_is_away() -> None:
    class Babbler(Protocol):
        def connectionMade(self) -> None:
            cast(Any, self.transport).write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def part() -> None:
        port = reactor.listenTCP(0, Factory.forProtocol(Babbler), interface="127.0.0.1")
        server = RedisServer(reactor, f"redis://127.0.0.1:{port.getHost().port}")
        connection: RedisConnection = await server.connect()
        with pytest.raises(RedisAway):
            await connection.send("PING")
        await port.stopListening()
        with pytest.raises(RedisAway):
            await server.connect()

    run(part())


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        RedisServer(reactor, "http://localhost")


class Listener:
    """Takes down what a carrier delivers."""

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.beats: list[tuple[int, int]] = []  # (entries before it, its head)

    def receive(self, entries: Sequence[Entry], beat: Beat | None) -> None:
        self.entries += [entry.pos for entry in entries]
        if beat is not None:
            self.beats.append((len(self.entries), beat.head))

    def someone_waits(self) -> bool:
        return False


def test_a_beat_comes_after_all_entries_before_it(redis_url: str) -> None:
    async def part() -> None:
        client = redis.Redis.from_url(redis_url)
        count = READ_COUNT + 10
        for pos in range(1, count + 1):
            client.xadd(KEYS.log, {"p": pos - 1, "f": 1, "b": b""}, id=f"1-{pos}")
        client.xadd(KEYS.beat, {"h": count, "a": "master:1"}, id="1-1")
        listener = Listener()
        carrier = RedisCarrier(RedisServer(reactor, redis_url), Random(1), KEYS, lambda counter, body: None)
        carrier.start(listener, Position(0, 0))
        await until(lambda: listener.beats)
        await carrier.stop()
        client.close()
        assert listener.entries == list(range(1, count + 1))
        assert listener.beats == [(count, count)]

    run(part())


def test_a_redis_that_stands_still_is_left_for_the_outbox(own_redis: EmbeddedRedis) -> None:
    async def part(cluster: Cluster) -> None:
        os.kill(own_redis.process_id, signal.SIGSTOP)
        try:
            cluster.append("a")
            await cluster.caught_up()
        finally:
            os.kill(own_redis.process_id, signal.SIGCONT)
        await cluster.beat_heard()
        cluster.append("b")
        await cluster.caught_up()

    play(own_redis.url(), part)


def test_foreign_stream_entries_are_named() -> None:
    with pytest.raises(BrokenEntry):
        read_beat(b"1-1", [b"h", b"x"])
    with pytest.raises(BrokenEntry):
        read_ephemeral(b"1-1", [b"z", b"x"])
