"""A request that reaches a worker without the role is served by one that has it."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from tests.common.http.endpoints import V3, Sample
from tests.common.http.served import FRONTS, Answer, Served, compose, serving
from tests.reactor import reactor, run, until

DEAD = ("127.0.0.1", 1)
"""Where nobody listens."""
GOOD = {"Authorization": "Bearer good"}


@pytest.fixture(params=[True, False], ids=["lane", "long way"], autouse=True)
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FRONTS, "have_lane", request.param)


def astray(port: int) -> AbstractAsyncContextManager[Served]:
    """A worker without the role, which knows the one at the port."""
    return serving(elsewhere={Sample: "client"}, find_workers=lambda role: [("127.0.0.1", port)])


def forwarded(method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """The answer of a worker that has to ask another one."""

    async def play() -> Answer:
        async with serving(Sample(), trusted=lambda address: True) as right:
            right.accounts.add("good")
            async with astray(right.port) as wrong:
                answer = await wrong.ask(method, target, body, headers)
                assert wrong.observed.forwarded == ["client"]
                assert [request.status for request in wrong.observed.finished] == [answer.status]
                assert wrong.accounts.asked == 0
                return answer

    return run(play())


def without_a_worker(workers: list[tuple[str, int]], headers: dict[str, str] | None = None) -> tuple[Answer, Served]:
    async def play() -> tuple[Answer, Served]:
        async with serving(elsewhere={Sample: "client"}, find_workers=lambda role: workers) as wrong:
            return await wrong.ask("GET", f"{V3}/hello/a", headers=headers), wrong

    return run(play())


def test_the_answer_is_that_of_the_right_worker() -> None:
    answer = forwarded("PUT", f"{V3}/name?a=%20b", b'{"name":"x"}', GOOD)
    assert (answer.status, answer.json) == (200, {"user": "@alice:example.org", "name": "x"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert forwarded("GET", f"{V3}/hello/a%2Fb").json["hello"] == "a/b"
    assert forwarded("GET", f"{V3}/raise/limited").headers["retry-after"] == "2"
    assert forwarded("PUT", f"{V3}/name", b"{}").errcode == "M_MISSING_TOKEN"


def test_large_bodies_pass() -> None:
    assert forwarded("POST", f"{V3}/upload", b"x" * 2_500_000).json == {"size": 2_500_000}


def test_the_client_and_the_request_keep_their_identity() -> None:
    answer = forwarded("GET", f"{V3}/hello/a", headers={"X-Forwarded-For": "1.2.3.4"})
    assert answer.json == {"hello": "a", "ip": "127.0.0.1", "request": "request-1"}


def test_without_a_worker_of_the_role_it_is_503() -> None:
    for workers in ([], [DEAD], [DEAD] * 10):
        answer, _ = without_a_worker(workers)
        assert (answer.status, answer.errcode) == (503, "M_UNKNOWN")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["retry-after"]


def test_a_worker_that_died_is_passed_over() -> None:
    """Its row is still fresh for some seconds; nothing was sent to it, so that another may be asked."""

    async def play() -> None:
        async with serving(Sample()) as right:
            right.accounts.add("good")
            workers = [DEAD, DEAD, ("127.0.0.1", right.port)]
            async with serving(elsewhere={Sample: "client"}, find_workers=lambda role: workers) as wrong:
                for _ in range(2):
                    answer = await wrong.ask("PUT", f"{V3}/name", b'{"name":"x"}', GOOD)
                    assert (answer.status, answer.json["name"]) == (200, "x")

    run(play())


def test_a_worker_that_has_just_come_is_found() -> None:
    """At the start of a split, workers learn of each other within seconds; a request does not wait for that."""

    async def play() -> None:
        async with serving(Sample()) as right:
            known: list[tuple[str, int]] = []

            async def look_again() -> None:
                known.append(("127.0.0.1", right.port))

            workers: dict[type, str] = {Sample: "client"}
            async with serving(elsewhere=workers, find_workers=lambda role: known, look_again=look_again) as wrong:
                assert (await wrong.ask("GET", f"{V3}/hello/a")).status == 200
            assert len(known) == 1

    run(play())


def test_a_request_is_forwarded_once() -> None:
    answer, wrong = without_a_worker([DEAD], {"X-Viaduct-Hop": "1"})
    assert answer.status == 503
    assert wrong.observed.forwarded == []


class Breaking(Protocol):
    """A worker that dies in the middle of its answer."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(self._said)
        transport.loseConnection()


def broken_off(said: bytes) -> Answer:
    async def play() -> Answer:
        port = reactor.listenTCP(0, Factory.forProtocol(lambda: Breaking(said)), interface="127.0.0.1")
        worker = ("127.0.0.1", port.getHost().port)
        async with serving(elsewhere={Sample: "client"}, find_workers=lambda role: [worker]) as wrong:
            answer = await wrong.ask("GET", f"{V3}/hello/a")
        await port.stopListening()
        return answer

    return run(play())


def test_a_worker_that_dies_before_its_answer_is_503() -> None:
    assert broken_off(b"").status == 503
    assert broken_off(b"nonsense\r\n\r\n").status == 503


def test_a_worker_that_dies_within_its_answer_breaks_the_connection() -> None:
    with capturedLogs():
        answer = broken_off(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    assert answer.body != b"{}"
    assert len(answer.body) < 100


def test_a_client_that_goes_away_is_noticed_by_the_right_worker() -> None:
    sample = Sample()

    async def play() -> None:
        async with serving(sample) as right, astray(right.port) as wrong:
            connection = await wrong.connect()
            connection.write(compose("GET", f"{V3}/wait"))
            await until(lambda: sample.waiting is not None)
            connection.abort()
            await until(lambda: sample.cancelled)

    with capturedLogs() as logs:
        run(play())
    assert [event for event in logs if "log_failure" in event] == []


def test_a_waiting_answer_comes_through_when_it_is_there() -> None:
    sample = Sample()

    async def play() -> None:
        async with serving(sample) as right, astray(right.port) as wrong:
            connection = await wrong.connect()
            connection.write(compose("GET", f"{V3}/wait"))
            await until(lambda: sample.waiting is not None)
            assert isinstance(sample.waiting, Deferred)
            sample.waiting.callback("x" * 300_000)
            assert len((await connection.answer()).json["waited"]) == 300_000
            await connection.close()

    run(play())


class Stalling(Protocol):
    """A worker that stops in the middle of its answer, and notices when nobody waits for the rest."""

    def __init__(self, lost: list[bool]) -> None:
        self._lost = lost

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost.append(True)


def test_a_client_that_goes_away_within_the_answer_ends_it_on_both_sides() -> None:
    lost: list[bool] = []

    async def play() -> None:
        port = reactor.listenTCP(0, Factory.forProtocol(lambda: Stalling(lost)), interface="127.0.0.1")
        async with astray(port.getHost().port) as wrong:
            connection = await wrong.connect()
            connection.write(compose("GET", f"{V3}/hello/a"))
            await connection.head()
            connection.abort()
            await until(lambda: lost)
            assert [request.status for request in wrong.observed.finished] == [200]
        await port.stopListening()

    with capturedLogs() as logs:
        run(play())
    assert [event for event in logs if "log_failure" in event] == []


def test_a_draining_worker_closes_after_a_forwarded_answer() -> None:
    async def play() -> None:
        async with serving(Sample()) as right, astray(right.port) as wrong:
            wrong.listener.announce_end()
            connection = await wrong.connect()
            connection.write(compose("GET", f"{V3}/hello/a"))
            answer = await connection.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            await connection.ended()

    run(play())


def test_no_header_of_the_hop_itself_is_passed_on() -> None:
    async def play() -> None:
        async with serving(Sample()) as right, astray(right.port) as wrong:
            head = await wrong.ask("GET", f"{V3}/reply/status", headers={"Connection": "close", "TE": "trailers"})
            assert (head.status, head.headers["x-extra"], head.headers["connection"]) == (401, "1", "close")
            assert "x-viaduct-hop" not in head.headers

    run(play())
