"""Whatever bytes come, in whatever pieces: a front door with the quick lane says, asks and counts what one without it
does."""

from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from hs_common.http.authentication import Authenticator
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.endpoint import Auth, declarations_of, endpoint
from hs_common.http.faults import unavailable
from hs_common.http.forwarding import Forwarder
from hs_common.http.kept_connection import BrokenResponse, Question, Sink
from hs_common.http.rate_limits import RateLimits
from hs_common.http.relay_lane import RelayLane
from hs_common.http.relayed_requests import RelayedRequests
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.http.router import Router
from tests.common.http.accounts import Accounts
from tests.common.http.lanes import LaneConnection, check_same, plays, streams

V3 = "/_matrix/client/v3"
ROUNDS = 250


class Elsewhere:
    """What workers serve."""

    @endpoint("GET", f"{V3}/read/{{what}}", auth=Auth.USER, waits=True, spec="none")
    async def read(self, request: Request) -> Reply:
        raise AssertionError

    @endpoint("PUT", f"{V3}/write", auth=Auth.USER, spec="none", body_limit_bytes=100)
    async def write(self, request: Request) -> Reply:
        raise AssertionError

    @endpoint("POST", f"{V3}/write", auth=Auth.NONE, spec="none")
    async def post(self, request: Request) -> Reply:
        raise AssertionError

    @endpoint("DELETE", f"{V3}/write", auth=Auth.NONE, spec="none")
    async def delete(self, request: Request) -> Reply:
        raise AssertionError

    @endpoint("POST", f"{V3}/stream", auth=Auth.USER, streams=True, spec="none")
    async def stream(self, request: Request) -> Reply:
        raise AssertionError

    @endpoint("GET", "/_matrix/federation/v1/signed", auth=Auth.SERVER, spec="none")
    async def signed(self, request: Request) -> Reply:
        raise AssertionError


class Here:
    """What the front answers itself."""

    @endpoint("GET", "/health", auth=Auth.NONE, spec="none")
    async def health(self, request: Request) -> Reply:
        return {}


class Scripted(Forwarder):
    """Stands for all workers: notes what is asked, and answers what the query says when it is let go."""

    def __init__(self) -> None:
        super().__init__(None, lambda role: [])
        self.heard: list[Any] = []
        self.waiting: list[Deferred[None]] = []
        self.cancelled = 0

    async def send(self, question: Question, role: str, sink: Sink) -> None:
        asked = question.head + question.content.read()
        self.heard.append((role, question.is_head, question.source is not None, *normal(asked)))
        if b"none=" in asked:
            raise unavailable("No worker serves these requests at the moment")
        await self.let()
        if b"refuse=" in asked:
            raise unavailable("The worker does not answer")
        if b"interrupt=" in asked:
            raise CancelledError
        if b"empty=" in asked:
            sink.begin_response(204, [(b"X-Extra", b"1")], b"")
            return
        length = [] if b"chunked=" in asked else [(b"Content-Length", b"6")]
        sink.begin_response(403, [(b"Content-Type", b"text/plain"), *length], b"" if b"later=" in asked else b"abc")
        if b"slow=" in asked:
            producer: Any = StringTransport()
            sink.registerProducer(producer, True)
            await self.let()
        if b"broken=" in asked:
            raise BrokenResponse("it broke off")
        sink.write(b"abcdef" if b"later=" in asked else b"def")
        if b"slow=" in asked:
            sink.unregisterProducer()

    async def let(self) -> None:
        wait: Deferred[None] = Deferred(self._cancel)
        self.waiting.append(wait)
        await wait

    def _cancel(self, wait: Deferred[None]) -> None:
        self.waiting.remove(wait)
        self.cancelled += 1

    def let_go(self) -> Callable[[], None]:
        waiting, self.waiting = self.waiting, []

        def go() -> None:
            for wait in waiting:
                wait.callback(None)

        return go


def normal(asked: bytes) -> tuple[bytes, dict[bytes, list[bytes]], bytes]:
    """The first line, values by name, and the body. Two that are the same by that mean the same."""
    head, _, body = asked.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return first, fields, body


class Front(LaneConnection):
    """One connection to a front door, with or without the lane."""

    def __init__(self, has_lane: bool) -> None:
        clock, workers, router = Clock(), Scripted(), Router()
        router.add(Here(), "")
        for _, declaration in declarations_of(Elsewhere):
            router.declare(declaration, "client")
        dispatcher = Dispatcher(
            Authenticator(Accounts(), lambda: 1_000_000, lambda: True), RateLimits({}, clock.seconds)
        )
        super().__init__(
            clock,
            router,
            dispatcher,
            lambda reception: RelayLane(reception, workers) if has_lane else None,
            forwarder=workers,
        )
        self.workers = workers

    def waiting(self) -> list[Callable[[], None]]:
        return [self.workers.let_go()]

    def told(self) -> tuple[Any, ...]:
        workers = self.workers
        return (*super().told(), workers.heard, len(workers.waiting), workers.cancelled)


GOOD = "Authorization: Bearer good"
HOST = "Host: example.org"


def request(
    query: str = "",
    headers: tuple[str, ...] = (HOST, GOOD),
    target: str = f"GET {V3}/read/a",
    body: str | None = None,
) -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    return f"{target}{query} HTTP/1.1\r\n{lines}{length}\r\n{body or ''}".encode("latin-1")


scripts = ("none=", "refuse=", "interrupt=", "empty=", "chunked=", "later=", "slow=", "broken=")
usual_queries = st.lists(st.sampled_from(("a=b", "x=%zz", "access_token=a", *scripts)), min_size=1, max_size=3)
queries = usual_queries.map(lambda parts: "?" + "&".join(parts)) | st.sampled_from(
    ["", "?", "#", "?a?b", "?a b", "?\xe9"]
)
header_lines = st.sampled_from(
    [GOOD, "Authorization:Bearer good ", "User-Agent: Me", "user-agent: You", "User-Agent: \xe9", "X-Request-ID: told",
     "x-request-id:told", "X-Request-ID: t o l d", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2, 10.0.0.1",
     "x-forwarded-for: nonsense", "Connection: close", "Connection: keep-alive", "Connection: keep-alive, close",
     "Connection: x-extra", "Content-Length: 0", "Content-Length: 3", "content-length:3", "Content-Length: +3",
     "Content-Length: 0003", "Content-Length: 3, 3", "Content-Length : 3", "Transfer-Encoding: chunked",
     "Transfer-Encoding: identity", "transfer-encoding:\tchunked", "Transfer_Encoding: chunked",
     "Expect: 100-continue", "Upgrade: websocket", "Keep-Alive: timeout=5", "Proxy-Connection: close", "Cookie: a=b",
     "X-Extra: 1", "x-extra: 2", "Empty:", "Bad Name: x", "Bad : x", "X: a\tb", "X: \x00", "X: a\nContent-Length: 3",
     "X: a\rb", " continued", "no colon", "X-" + "x" * 9000 + ": y", "", "TE: trailers", "Trailer: x",
     "X-Viaduct-Hop: 1", HOST, "Host: other", "host:"]
)  # fmt: skip
targets = st.sampled_from(
    [f"GET {V3}/read/a", f"GET {V3}/read/a%2Fb", f"GET {V3}/read/%zz", f"GET {V3}/read/%00", f"GET {V3}/read/",
     f"PUT {V3}/write", f"POST {V3}/write", f"DELETE {V3}/write", f"POST {V3}/stream", f"HEAD {V3}/read/a",
     f"OPTIONS {V3}/read/a", f"PATCH {V3}/write", "GET /health", "GET /nowhere", f"get {V3}/read/a", "GET *",
     f"GET http://a{V3}/read/a", "GET //", "GET /_matrix/federation/v1/signed", "POST /nowhere"]
)  # fmt: skip
usual_targets = st.sampled_from([f"GET {V3}/read/a", f"PUT {V3}/write", f"POST {V3}/write", f"DELETE {V3}/write"])
texts = st.sampled_from(["", "abc", "{}", "x" * 101, "GET / HTTP/1.1\r\n\r\n"])
usual_headers = st.lists(header_lines, max_size=3).map(lambda more: (HOST, GOOD, *more)) | st.just((HOST, GOOD))


@st.composite
def requests(draw: Any) -> bytes:
    target = draw(usual_targets | targets)
    body = draw(st.none() | texts) if target.startswith("GET") else draw(texts | texts | st.none())
    return request(draw(queries), draw(usual_headers | st.just(())), target, body)


pieces = requests() | st.sampled_from([b"\r\n", b"abc", b"GET ", request(), b"0\r\n\r\n", b"\n", b""])


@settings(max_examples=ROUNDS, deadline=None)
@given(plays(requests() | streams(pieces, 3), 3, [["let_go", "let_go"], ["lose"]]))
@example([request(), "let_go", request("?chunked=&later="), "let_go", request("?slow="), "let_go", "pause", "let_go"])
@example([request("?broken="), "let_go", "lose"])
@example([request("?slow=&broken="), "let_go", "let_go"])
@example([request("?interrupt="), "let_go", request("?refuse="), "let_go", request("?none="), "lose"])
@example([request() + request(), "let_go", "let_go"])
@example([request(), request(), "let_go", "let_go", "lose"])
@example([request("?slow="), "let_go", "lose"])
@example([request("?empty=", target=f"PUT {V3}/write", body="{}"), "drain", "let_go"])
@example([request("", (HOST, "Content-Length: 3"), f"POST {V3}/write", "abc"), "let_go"])
@example([request("", (HOST, "Transfer-Encoding: chunked"), f"POST {V3}/write", "0\r\n\r\n"), "let_go"])
@example([request("", (HOST, "X: a\nContent-Length: 9"), f"POST {V3}/write", "abc"), "let_go"])
@example([request(headers=(HOST, "X-Extra: 1", "User-Agent: Me", "x-extra: 2", "Connection: keep-alive")), "let_go"])
def test_a_front_with_the_lane_does_what_one_without_it_does(play: list[bytes | str]) -> None:
    check_same(Front(has_lane=False), Front(has_lane=True), play)


def test_usual_requests_take_the_lane() -> None:
    front = Front(has_lane=True)
    told = (HOST, GOOD, "X-Request-ID: told", "X-Forwarded-For: 192.0.2.1", "Connection: keep-alive")
    for data in (
        request(),
        request("?a=b", told),
        request(target=f"PUT {V3}/write", body="{}"),
        request(target=f"POST {V3}/write", body=""),
        request(target=f"DELETE {V3}/write"),
    ):
        front.receive(data)
        front.let_go()
    assert front.taken == 5
    assert [heard[3] for heard in front.workers.heard][1:3] == [
        f"GET {V3}/read/a?a=b HTTP/1.1".encode(),
        f"PUT {V3}/write HTTP/1.1".encode(),
    ]
    fields = front.workers.heard[1][4]
    assert fields[b"x-request-id"] == [b"told"]
    assert fields[b"x-forwarded-for"] == [b"192.0.2.1"]
    assert b"connection" not in fields


def test_what_could_be_read_in_two_ways_does_not() -> None:
    post, length = f"POST {V3}/write", "Content-Length: 3"
    for data in (
        request() + request(),
        request(headers=(HOST, length, length), target=post, body="abc"),
        request(headers=(HOST, length), target=post) + b"abc" + request(),
        request(headers=(HOST, length), target=post) + b"ab",
        request(headers=(HOST, length, "Transfer-Encoding: chunked"), target=post) + b"0\r\n\r\n",
        request(headers=(HOST, "Transfer-Encoding: chunked"), target=post) + b"0\r\n\r\n",
        request(headers=(HOST, "X: a", " Content-Length: 3"), target=post) + b"abc",
        request(headers=(HOST, "X: a\nContent-Length: 3"), target=post) + b"abc",
        request(headers=(HOST, "Content-Length : 3"), target=post) + b"abc",
        request(headers=(HOST, "Content-Length: +3"), target=post) + b"abc",
        request(headers=(HOST, "Content-Length: 0"), target=f"GET {V3}/read/a"),
        request(headers=(HOST, "Connection: close, X-Extra")),
        request(headers=(HOST, "Host: other")),
        request(headers=()),
        request(headers=(HOST, "X-Viaduct-Hop: 1")),
        request(headers=(HOST, "Expect: 100-continue"), target=post, body="abc"),
        request(target=f"PUT {V3}/write", body="x" * 101),
        request(target=f"POST {V3}/stream", body="abc"),
        request(target="GET /_matrix/federation/v1/signed"),
        request(target="GET /health"),
        request(target=f"HEAD {V3}/read/a"),
        request().replace(b"\r\n", b"\n"),
    ):
        front = Front(has_lane=True)
        front.receive(data)
        assert front.taken == 0, data


def test_what_is_remembered_of_headers_is_bounded_and_says_nothing_of_their_values() -> None:
    known = RelayedRequests(remembered_limit=2)
    for number in range(4):
        assert known.read(request(headers=(HOST, f"Authorization: Bearer secret{number}"))) is not None
    assert known.entries() == 2
    assert "secret" not in repr(known._known._known)
