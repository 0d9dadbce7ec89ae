"""Asking the outside: what comes back, what is refused, what is cut."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from hs_common.http.egress.client import EgressClient, Fetched, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import (
    AnswerTooLarge,
    BadUrl,
    BrokenOff,
    EgressError,
    NotAllowed,
    NotConnected,
    NotResolved,
    TimedOut,
    TooManyRedirects,
)
from tests.common.http.egress.outside import OutsideServer, Seen, Talk, answer, asking, outside
from tests.reactor import reactor, run


async def get(client: EgressClient, url: str, limits: Limits | None = None) -> Fetched:
    return await client.fetch(Purpose.PREVIEW, "GET", url, {"Authorization": "secret", "Accept": "a/b"}, limits=limits)


def saying(data: bytes) -> Callable[[bytes, Talk], None]:
    return lambda request, talk: talk.write(data)


def ask_server(data: bytes, limits: Limits | None = None) -> Fetched:
    """One GET of a server that always says this."""

    async def play() -> Fetched:
        async with outside(saying(data)) as server, asking() as client:
            return await get(client, server.url, limits)

    return run(play())


def test_a_body_goes_there_and_an_answer_comes_back() -> None:
    async def play() -> None:
        seen = Seen()
        async with outside(saying(answer(b"yes", 201, "X-A: b"))) as server, asking(seen=seen) as client:
            found = await client.fetch(Purpose.PUSH, "POST", f"{server.url}/a%20b?c=d", {"X-B": "c"}, b"body")
            assert (found.status, found.body, found.header("x-a")) == (201, b"yes", "b")
            assert server.requests[0].startswith(b"POST /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:")
            assert server.requests[0].endswith(b"\r\n\r\nbody")
            assert seen.outcomes == [("push", "answered")]

    run(play())


def test_connections_are_kept_and_the_dead_ones_replaced() -> None:
    async def play() -> None:
        async with outside(saying(answer())) as server, asking() as client:
            for _ in range(3):
                await get(client, server.url)
            assert server.connections == 1
            server.script = lambda request, talk: talk.transport.loseConnection()
            with pytest.raises(BrokenOff):
                await get(client, server.url)
            assert server.connections == 2  # the kept one had died, so it was asked again, once
            server.script = saying(answer())
            assert (await get(client, server.url)).status == 200

    run(play())


@pytest.mark.parametrize(
    "url",
    ["ftp://a/", "http://", "http://u:p@a/", "http://a:0/", "http://a:99999/", "http://[::1/", "/a", "http://a b/"],
)
def test_what_is_no_url_is_not_asked(url: str) -> None:
    async def play() -> None:
        async with asking() as client:
            with pytest.raises(BadUrl):
                await get(client, url)

    run(play())


def test_only_addresses_that_the_policy_allows_are_connected_to() -> None:
    async def play() -> None:
        names = {"evil.example": ["127.0.0.1", "::1"], "mixed.example": ["10.0.0.1", "127.0.0.1"]}
        async with outside(saying(answer())) as server, asking(names=names) as client:
            assert (await get(client, f"http://mixed.example:{server.port}/")).status == 200
            with pytest.raises(NotResolved):
                await get(client, f"http://nowhere.example:{server.port}/")
            async with asking(names=names, allow=()) as careful:
                for host in ("evil.example", "127.0.0.1", "[::1]", "localhost", "[::ffff:7f00:1]"):
                    with pytest.raises((NotAllowed, NotResolved)):
                        await get(careful, f"http://{host}:{server.port}/")
            assert server.connections == 1

    run(play())


def test_redirects_are_judged_anew_and_take_no_secrets() -> None:
    async def play() -> None:
        def script(request: bytes, talk: Talk) -> None:
            if b"GET /start" in request:
                talk.write(answer(b"", 302, f"Location: http://other.example:{servers[0].port}/end"))
            elif b"GET /private" in request:
                talk.write(answer(b"", 302, "Location: http://private.example/"))
            elif b"GET /round" in request:
                talk.write(answer(b"", 302, "Location: /round"))
            else:
                talk.write(answer(b"there"))

        servers: list[OutsideServer] = []
        names = {"other.example": ["127.0.0.1"], "private.example": ["10.0.0.1"]}
        async with outside(script) as server, asking(names=names) as client:
            servers.append(server)
            found = await get(client, f"{server.url}/start", Limits(redirects=3))
            assert (found.body, found.url) == (b"there", f"http://other.example:{server.port}/end")
            assert b"secret" in server.requests[0]
            assert b"secret" not in server.requests[1]
            assert b"Accept: a/b" in server.requests[1]
            assert (await get(client, f"{server.url}/start")).status == 302
            with pytest.raises(TooManyRedirects):
                await get(client, f"{server.url}/round", Limits(redirects=3))
            with pytest.raises(NotAllowed):
                await get(client, f"{server.url}/private", Limits(redirects=3))

    run(play())


def test_what_is_too_large_is_cut() -> None:
    limits = Limits(body_bytes=10)
    assert ask_server(answer(b"0123456789"), limits).body == b"0123456789"
    with pytest.raises(AnswerTooLarge):
        ask_server(answer(b"0123456789!"), limits)
    with pytest.raises(AnswerTooLarge):
        ask_server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8\r\n01234567\r\n" * 9, limits)
    with pytest.raises(BrokenOff):
        ask_server(b"HTTP/1.1 200 OK\r\n" + b"X-Long: header\r\n" * 10_000)


def test_who_answers_before_he_has_heard_all_loses_the_connection() -> None:
    connections = []

    class Early(Protocol):
        transport: Any

        def connectionMade(self) -> None:
            connections.append(self)
            self.transport.write(answer(b"early"))
            self.transport.pauseProducing()  # and hears nothing

    factory = Factory.forProtocol(Early)

    async def play() -> None:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        url = f"http://127.0.0.1:{port.getHost().port}"
        async with asking() as client:
            for number in (1, 2, 3):
                with suppress(EgressError):  # it may come before the question has begun, which is as bad
                    await client.fetch(Purpose.PUSH, "PUT", url, body=b"x" * (8 << 20))
                assert client._pool.idle_count == 0, number
        assert len(connections) >= 3
        await port.stopListening()

    run(play())


def test_a_large_question_that_was_heard_leaves_the_connection() -> None:
    async def play() -> None:
        async with outside(saying(answer())) as server, asking() as client:
            for _ in range(3):
                await client.fetch(Purpose.PUSH, "PUT", server.url, body=b"x" * (2 << 20))
            assert server.connections == 1

    run(play())


def test_what_takes_too_long_is_cut() -> None:
    def drip(request: bytes, talk: Talk) -> None:
        talk.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for number in range(50):
            reactor.callLater(number / 20, talk.write, b".")

    async def play() -> None:
        async with outside(lambda request, talk: None) as silent, outside(drip) as slow, asking() as client:
            for limits in (Limits(total_s=0.1), Limits(idle_s=0.1)):
                with pytest.raises(TimedOut):
                    await get(client, silent.url, limits)
            with pytest.raises(TimedOut):
                await get(client, slow.url, Limits(total_s=0.3, idle_s=0.2))
            await deferLater(reactor, 0.05, lambda: None)
            assert not silent.open
            assert not slow.open

    run(play())


@pytest.mark.parametrize(
    "data",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", b"HTTP/0.9 200"],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(EgressError):
        ask_server(data, Limits(total_s=0.3))


def test_a_server_that_is_not_there() -> None:
    async def play() -> None:
        seen = Seen()
        async with outside(saying(answer())) as server:
            port = server.port
        async with asking(seen=seen) as client:
            with pytest.raises(NotConnected):
                await get(client, f"http://127.0.0.1:{port}/")
        assert seen.outcomes == [("preview", "connect")]

    run(play())


def test_requests_to_one_place_share_its_connections() -> None:
    """Sixty at once use eight connections, and each gets its own answer."""

    async def play() -> None:
        def echo(request: bytes, talk: Talk) -> None:
            path = request.split(b" ", 2)[1]
            reactor.callLater(0.001, lambda: talk.write(answer(path)))

        async with outside(echo) as server, asking() as client:
            asked = [Deferred.fromCoroutine(get(client, f"{server.url}/{number}")) for number in range(60)]
            found = await gatherResults(asked)
            assert [one.body for one in found] == [f"/{number}".encode() for number in range(60)]
            assert server.connections <= 8

    run(play())


def test_a_large_answer_is_read_as_fast_as_it_is_wanted() -> None:
    async def play() -> None:
        size = 20 << 20
        async with outside(saying(answer(bytes(size)))) as server, asking() as client:
            reply, _ = await client.open(Purpose.MEDIA, "GET", server.url, limits=Limits(body_bytes=size))
            await deferLater(reactor, 0.1, lambda: None)
            assert reply.received_bytes < 4 << 20
            total = 0
            while piece := await reply.read():
                total += len(piece)
            assert total == size

    run(play())
