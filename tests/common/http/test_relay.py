"""Connections between workers: which are used again, which never, and what happens when one side is slow or goes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import implementer

from hs_common.http import relay
from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.listener import IDLE_TIMEOUT_S
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from tests.common.http.endpoints import V3, Sample
from tests.common.http.served import FRONTS, Connection, Served, compose, serving
from tests.reactor import reactor, run, sleep, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
LONG_POLLS = 200


@pytest.fixture(params=[True, False], ids=["lane", "long way"], autouse=True)
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FRONTS, "have_lane", request.param)


@dataclass
class Worker:
    """A worker of bare bytes: what it said and heard."""

    say: Callable[[Any], None]
    """Called with the connection for each request whose head is complete."""
    port: int = 0
    connections: list[Any] = field(default_factory=list)
    lost: int = 0

    def front(self) -> AbstractAsyncContextManager[Served]:
        return serving(elsewhere={Sample: "client"}, find_workers=lambda role: [("127.0.0.1", self.port)])


class Talking(Protocol):
    """One connection of a Worker."""

    worker: Worker

    def __init__(self) -> None:
        self.heard = b""

    def connectionMade(self) -> None:
        self.worker.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if b"\r\n\r\n" in data:
            self.worker.say(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.worker.lost += 1


@asynccontextmanager
async def working(say: Callable[[Any], None]) -> AsyncIterator[Worker]:
    worker = Worker(say)

    def build() -> Talking:
        connection = Talking()
        connection.worker = worker
        return connection

    port = reactor.listenTCP(0, Factory.forProtocol(build), interface="127.0.0.1")
    worker.port = port.getHost().port
    try:
        yield worker
    finally:
        await port.stopListening()
        await until(lambda: worker.lost == len(worker.connections))


def saying(answer: bytes) -> Callable[[Any], None]:
    return lambda connection: connection.transport.write(answer)


class Polls:
    """An endpoint at which any number of requests wait until all are let go."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    @endpoint("GET", f"{V3}/poll", auth=Auth.NONE, spec="#poll", waits=True)
    async def poll(self, request: Request) -> Reply:
        self.waiting.append(Deferred())
        await self.waiting[-1]
        return {}

    def let_go(self) -> None:
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.callback(None)


def test_long_polls_keep_their_connections() -> None:
    polls = Polls()

    async def play() -> None:
        async with (
            serving(polls) as right,
            serving(elsewhere={Polls: "sync"}, find_workers=lambda role: [("127.0.0.1", right.port)]) as wrong,
        ):
            clients = [await wrong.connect() for _ in range(LONG_POLLS)]
            channels = set()
            for _ in range(2):
                for client in clients:
                    client.write(compose("GET", f"{V3}/poll"))
                await until(lambda: len(polls.waiting) == LONG_POLLS, timeout=60.0)
                channels |= right.listener.channels
                polls.let_go()
                answers = await gatherResults([Deferred.fromCoroutine(client.answer()) for client in clients])
                assert {answer.status for answer in answers} == {200}
            assert len(channels) == LONG_POLLS
            for client in clients:
                await client.close()

    run(play(), timeout=120.0)


@pytest.mark.parametrize(
    ("answer", "times"),
    [
        (OK, 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 1),
        (OK + b"HTTP/1.1 200 OK\r\n", 2),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 2),
    ],
)
def test_a_connection_is_used_again_when_both_sides_agree_where_it_is(answer: bytes, times: int) -> None:
    async def play() -> None:
        async with working(saying(answer)) as worker, worker.front() as wrong:
            for _ in range(2):
                got = await wrong.ask("GET", f"{V3}/hello/a")
                assert (got.status, got.body) in ((200, b"hi"), (204, b""))
                assert "set-cookie" not in got.headers
            assert len(worker.connections) == times

    run(play())


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 200 OK\r\n", b""])
def test_an_idle_connection_that_speaks_or_dies_is_dropped(unasked: bytes) -> None:
    async def play() -> None:
        async with working(saying(OK)) as worker, worker.front() as wrong:
            await wrong.ask("GET", f"{V3}/hello/a")
            if unasked:
                worker.connections[0].transport.write(unasked)
            else:
                worker.connections[0].transport.loseConnection()
            await until(lambda: worker.lost == 1)
            assert (await wrong.ask("GET", f"{V3}/hello/a")).body == b"hi"
            assert len(worker.connections) == 2

    run(play())


def test_an_idle_connection_goes_before_the_worker_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert relay.KEEP_ALIVE_S + relay.SWEEP_INTERVAL_S < IDLE_TIMEOUT_S
    monkeypatch.setattr(relay, "KEEP_ALIVE_S", -1.0)
    monkeypatch.setattr(relay, "SWEEP_INTERVAL_S", 0.01)

    async def play() -> None:
        async with working(saying(OK)) as worker, worker.front() as wrong:
            await wrong.ask("GET", f"{V3}/hello/a")
            await until(lambda: worker.lost == 1)

    run(play())


def test_a_worker_that_never_answers_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ANSWER_TIMEOUT_S", -1.0)
    monkeypatch.setattr(relay, "SWEEP_INTERVAL_S", 0.01)

    async def play() -> None:
        async with working(lambda connection: None) as worker, worker.front() as wrong:
            assert (await wrong.ask("GET", f"{V3}/hello/a")).status == 503
            await until(lambda: worker.lost == 1)

    run(play())


def test_no_more_idle_connections_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "KEPT_CONNECTIONS", 1)

    async def play() -> None:
        asked: list[Any] = []
        async with working(asked.append) as worker, worker.front() as wrong:
            clients = [await wrong.connect() for _ in range(3)]
            for client in clients:
                client.write(compose("GET", f"{V3}/hello/a"))
            await until(lambda: len(asked) == 3)
            for connection in asked:
                connection.transport.write(OK)
            for client in clients:
                assert (await client.answer()).body == b"hi"
                await client.close()
            await until(lambda: worker.lost == 2)

    run(play())


def test_an_answer_of_unknown_length_is_passed_on_in_chunks() -> None:
    def say(connection: Any) -> None:
        connection.transport.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        connection.transport.loseConnection()

    async def play() -> None:
        async with working(say) as worker, worker.front() as wrong:
            connection = await wrong.connect()
            connection.write(compose("GET", f"{V3}/hello/a"))
            answer = await connection.answer()
            assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"hello")
            await connection.close()

    run(play())


def test_the_head_of_an_answer_tells_the_length_of_the_body_that_it_leaves_out() -> None:
    async def play() -> None:
        async with (
            working(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n")) as worker,
            worker.front() as wrong,
        ):
            connection = await wrong.connect()
            for _ in range(2):
                connection.write(compose("HEAD", f"{V3}/hello/a"))
                assert (await connection.answer(head_only=True)).headers["content-length"] == "700"
            await connection.close()
            assert len(worker.connections) == 1

    run(play())


def test_an_answer_before_the_end_of_the_body_is_passed_on() -> None:
    def refuse(connection: Any) -> None:
        connection.transport.pauseProducing()
        connection.transport.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")

    async def play() -> None:
        async with working(refuse) as worker, worker.front() as wrong:
            answer = await wrong.ask("POST", f"{V3}/upload", b"x" * 2_900_000)
            assert (answer.status, answer.body) == (413, b"{}")
            worker.connections[0].transport.resumeProducing()
            await until(lambda: worker.lost == 1)
            assert len(worker.connections[0].heard) < 2_900_000

    run(play())


@implementer(IPullProducer)
class Flood:
    """A body as fast as the other side takes it."""

    PIECE = b"x" * 100_000
    PIECES = 600

    def __init__(self, connection: Any) -> None:
        self._transport = connection.transport
        self.left = self.PIECES
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (self.PIECES * len(self.PIECE)))
        self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.left -= 1
        self._transport.write(self.PIECE)
        if self.left == 0:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.left = 0


class Slow(Connection):
    """A client that counts what it reads."""

    read = 0

    def dataReceived(self, data: bytes) -> None:
        self.read += len(data)


def test_a_client_that_does_not_read_stops_the_worker() -> None:
    floods: list[Flood] = []

    async def play() -> None:
        async with working(lambda connection: floods.append(Flood(connection))) as worker, worker.front() as wrong:
            client = Slow()
            await connect(wrong, client)
            transport: Any = client.transport
            transport.pauseProducing()
            client.write(compose("GET", f"{V3}/hello/a"))
            await until(lambda: floods)
            left = 0
            while left != floods[0].left:
                left = floods[0].left
                await sleep(0.2)
            assert left > 0
            transport.resumeProducing()
            await until(lambda: client.read > Flood.PIECES * len(Flood.PIECE))
            assert floods[0].left == 0
            await client.close()
            again = await wrong.connect()
            again.write(compose("GET", f"{V3}/hello/a"))
            await again.head()
            assert len(worker.connections) == 1
            again.abort()
            await until(lambda: worker.lost == 1)

    with capturedLogs() as logs:
        run(play())
    assert [event for event in logs if "log_failure" in event] == []


async def connect(served: Served, protocol: Protocol) -> None:
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", served.port), protocol)
