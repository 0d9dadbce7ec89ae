"""Whatever bytes come, in whatever pieces: a worker with the lane for whole requests says, does and counts what one
without it does."""

from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from hs_common.http.authentication import Authenticator
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.endpoint import Auth, declarations_of, endpoint
from hs_common.http.lanes import Lanes
from hs_common.http.rate_limits import RateLimits
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.http.router import Router
from hs_common.http.whole_lane import WholeLane
from hs_common.http.whole_requests import WholeRequests
from hs_common.matrix.errors import forbidden
from hs_common.process.request_id import CURRENT_ORIGIN, CURRENT_REQUEST_ID
from tests.common.http.accounts import Accounts
from tests.common.http.lanes import LaneConnection, check_same, plays, streams
from tests.common.http.test_quick_lane import Seen
from tests.common.http.test_relay_lane import (
    GOOD,
    HOST,
    V3,
    request,
    targets,
    texts,
    usual_headers,
)

ROUNDS = 250


class Elsewhere:
    """What another worker serves."""

    @endpoint("PUT", f"{V3}/elsewhere", auth=Auth.NONE, spec="none")
    async def put(self, request: Request) -> Reply:
        raise AssertionError


class Here:
    """Answers what it sees: at once, or with `wait` in the query when it is let go."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.waiting: list[Deferred[None]] = []
        self.cancelled = 0

    @endpoint("GET", f"{V3}/read/{{what}}", auth=Auth.USER, spec="none")
    async def read(self, request: Request) -> Reply:
        return await self._answer(request)

    @endpoint("PUT", f"{V3}/put/{{what}}/{{more}}", auth=Auth.USER, spec="none", suspended_ok=True)
    async def put(self, request: Request) -> Reply:
        return await self._answer(request)

    @endpoint("PUT", f"{V3}/write", auth=Auth.USER, spec="none", body_limit_bytes=100)
    async def write(self, request: Request) -> Reply:
        return await self._answer(request)

    @endpoint("POST", f"{V3}/write", auth=Auth.USER_OPTIONAL, spec="none")
    async def post(self, request: Request) -> Reply:
        return await self._answer(request)

    @endpoint("DELETE", f"{V3}/write", auth=Auth.NONE, spec="none")
    async def delete(self, request: Request) -> Reply:
        return await self._answer(request)

    @endpoint("POST", f"{V3}/stream", auth=Auth.USER, streams=True, spec="none")
    async def stream(self, request: Request) -> Reply:
        self.seen.append(await request.stream.read())
        return {}

    async def _answer(self, request: Request) -> Reply:
        self.seen.append(
            (
                *(request.method, request.uri_path, request.path, request._query_string, request.raw),
                *(request.client_ip, request.request_id, request.started_s),
                *(request.optional_requester, CURRENT_REQUEST_ID.get(), CURRENT_ORIGIN.get()),
                {name: request.headers.all(name) for name in ("x-extra", "User-Agent", "cookie", "host", "empty")},
            )
        )
        query = request.query
        if "wait" in query:
            wait: Deferred[None] = Deferred(self._cancel)
            self.waiting.append(wait)
            await wait
        if "refuse" in query:
            raise forbidden("No")
        if "interrupt" in query:
            raise CancelledError
        if "bug" in query:
            raise AssertionError("a bug that is played")
        if "empty" in query:
            return Response(204, b"", {"X-Extra": "1"})
        return request.json() if "json" in query else Response(418, {"seen": len(self.seen)}, {"X-Extra": "1"})

    def _cancel(self, wait: Deferred[None]) -> None:
        self.waiting.remove(wait)
        self.cancelled += 1

    def let_go(self) -> Callable[[], None]:
        waiting, self.waiting = self.waiting, []

        def go() -> None:
            for wait in waiting:
                wait.callback(None)

        return go


class Worker(LaneConnection):
    """One connection to a worker, with or without the lane."""

    def __init__(self, has_lane: bool) -> None:
        clock, router, self.here, self.seen = Clock(), Router(), Here(), Seen()
        router.add(self.here, "client")
        for _, declaration in declarations_of(Elsewhere):
            router.declare(declaration, "federation-inbound")
        accounts, seen = Accounts(), self.seen
        accounts.add("good")
        accounts.add("locked", "@locked:example.org", locked=True)
        accounts.add("suspended", "@suspended:example.org", suspended=True)
        dispatcher = Dispatcher(
            Authenticator(accounts, lambda: 1_000_000, lambda: True),
            RateLimits({}, clock.seconds),
            last_seen=seen,  # type: ignore[arg-type]
        )
        super().__init__(clock, router, dispatcher, WholeLane if has_lane else lambda reception: None)

    def waiting(self) -> list[Callable[[], None]]:
        return [self.here.let_go()]

    def told(self) -> tuple[Any, ...]:
        here = self.here
        return (*super().told(), self.seen.notes, here.seen, len(here.waiting), here.cancelled)


scripts = ("wait=", "wait=", "refuse=", "interrupt=", "bug=", "empty=", "json=")
usual_queries = st.lists(st.sampled_from(("a=b", "x=%zz", "access_token=good", *scripts)), min_size=1, max_size=3)
queries = usual_queries.map(lambda parts: "?" + "&".join(parts)) | st.sampled_from(["", "?", "#", "?a?b", "?a b"])
tokens = st.sampled_from([GOOD, GOOD, "Authorization: Bearer locked", "Authorization: Bearer suspended", "A: b"])
usual_targets = st.sampled_from(
    [f"PUT {V3}/put/a/b", f"PUT {V3}/put/%21a%3Ab/", f"PUT {V3}/put/a", f"PUT {V3}/write", f"POST {V3}/write",
     f"DELETE {V3}/write", f"PUT {V3}/elsewhere"]
)  # fmt: skip
bodies = texts | st.sampled_from(['{"a":1}', '{"a":1', "\xff", "[]"])


@st.composite
def requests(draw: Any) -> bytes:
    target = draw(usual_targets | usual_targets | targets)
    body = draw(st.none() | bodies) if target.startswith("GET") else draw(bodies | bodies | st.none())
    return request(draw(queries), (draw(tokens), *draw(usual_headers)), target, body)


PUT = f"PUT {V3}/put/a/b"
pieces = requests() | st.sampled_from([b"\r\n", b"abc", b"GET ", request(target=PUT, body="{}"), b"\n", b""])


@settings(max_examples=ROUNDS, deadline=None)
@given(plays(requests() | streams(pieces, 3), 3, [["let_go", "let_go"], ["lose"]]))
@example([request(target=PUT, body="{}"), request("?wait=", target=PUT, body="{}"), "let_go", "lose"])
@example([request("?wait=", target=PUT, body="{}"), "lose"])
@example([request("?wait=", target=PUT, body="{}"), "drain", "let_go"])
@example([request("?wait=", target=PUT, body="{}"), "pause", "let_go", request(target=PUT, body=""), "resume"])
@example([request("?wait=", target=PUT, body="{}") + request(target=PUT, body="{}"), "let_go", "let_go"])
@example([request("?wait=", target=PUT, body="{}"), request(target=PUT, body="{}"), "wait", "let_go", "wait", "lose"])
@example([request("?wait=&interrupt=", target=PUT, body="{}"), "let_go", request("?empty=", target=PUT, body="{}")])
@example([request("?json=", target=PUT, body='{"a":'), request("?bug=", target=PUT, body="{}"), "let_go"])
@example([request("?empty=", target=PUT, body="{}"), request("", (HOST,), PUT, "{}"), "lose"])
@example([request("?json=", (HOST, GOOD, "X-Extra:  1 ", "x-extra: 2", "Keep-Alive: 5"), PUT, '{"a":1}'), "lose"])
def test_a_worker_with_the_lane_does_what_one_without_it_does(play: list[bytes | str]) -> None:
    check_same(Worker(has_lane=False), Worker(has_lane=True), play)


def test_usual_requests_take_the_lane() -> None:
    worker = Worker(has_lane=True)
    told = (
        HOST,
        GOOD,
        "X-Request-ID: told",
        "X-Forwarded-For: 192.0.2.1",
        "Connection: keep-alive",
        "X-Viaduct-Hop: 1",
    )
    for data in (
        request(target=PUT, body="{}"),
        request("?a=b&wait=", told, PUT, "{}"),
        request(target=f"POST {V3}/write", body=""),
        request("?refuse=", target=f"DELETE {V3}/write"),
    ):
        worker.receive(data)
        worker.let_go()
    assert worker.taken == 4
    assert [one.request_id for one in worker.observed.finished] == ["made-here", "told", "made-here", "made-here"]
    assert [one.client_ip for one in worker.observed.finished][:2] == ["127.0.0.1", "192.0.2.1"]
    assert [one.status for one in worker.observed.finished] == [418, 418, 418, 403]


def test_what_is_not_usual_does_not() -> None:
    length = "Content-Length: 2"
    for data in (
        request(),
        request(target=PUT, body="{}") + request(target=PUT, body="{}"),
        request(headers=(HOST, GOOD, length, length), target=PUT) + b"{}",
        request(headers=(HOST, GOOD, "Transfer-Encoding: chunked"), target=PUT) + b"0\r\n\r\n",
        request(headers=(HOST, GOOD, "Expect: 100-continue"), target=PUT, body="{}"),
        request(headers=(GOOD,), target=PUT, body="{}"),
        request(target=f"PUT {V3}/write", body="x" * 101),
        request(target=f"POST {V3}/stream", body="abc"),
        request(target=f"PUT {V3}/elsewhere", body="{}"),
        request(target=f"PUT {V3}/nowhere", body="{}"),
        request(target=PUT, body="x" * 100_001),
        request(target=PUT, body="{}").replace(b"\r\n", b"\n"),
    ):
        worker = Worker(has_lane=True)
        worker.receive(data)
        assert worker.taken == 0, data


def test_what_is_remembered_of_headers_is_bounded_and_says_nothing_of_their_values() -> None:
    known = WholeRequests(remembered_limit=2)
    for number in range(4):
        sent = request(headers=(HOST, f"Authorization: Bearer secret{number}"), target=PUT, body="{}")
        read = known.read(sent)
        assert read is not None
        assert read.headers.getRawHeaders(b"authorization") == [b"Bearer secret%d" % number]
    assert known.entries() == 2
    assert "secret" not in repr(known._known._known)


def test_the_first_lane_that_wants_a_request_has_it() -> None:
    class Wants:
        def __init__(self, wants: bool) -> None:
            self.wants, self.asked = wants, 0

        def take(self, channel: Any, data: bytes) -> bool:
            self.asked += 1
            return self.wants

    lanes = [Wants(False), Wants(True), Wants(True)]
    assert Lanes(lanes).take(None, b"")
    assert [lane.asked for lane in lanes] == [1, 1, 0]
    assert not Lanes(lanes[:1]).take(None, b"")
