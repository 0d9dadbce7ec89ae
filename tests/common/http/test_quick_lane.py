"""Whatever bytes come, in whatever pieces: a server with the quick lane says and counts what one without it does."""

from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.http.authentication import Authenticator
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.endpoint import Auth, Rate, declarations_of, endpoint, r0
from hs_common.http.listener import IDLE_TIMEOUT_S, SLOWEST_BYTES_PER_S
from hs_common.http.quick_exchange import QuickExchange
from hs_common.http.quick_lane import QuickLane
from hs_common.http.rate_limits import RateLimits
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Query, Request, Requester
from hs_common.http.router import Router
from hs_common.matrix.errors import MatrixError, forbidden
from tests.common.http.accounts import Accounts
from tests.common.http.lanes import LaneConnection, check_same, plays, streams

PATH = "/_matrix/client/v3/poll"
ROUNDS = 200


def said(requester: Requester, query_string: bytes, client_ip: str, request_id: str) -> bytes:
    return b"|".join((requester.user_id.encode(), query_string, client_ip.encode(), request_id.encode()))


class Poll:
    """Answers what it sees: at once, or with `wait` in the query when it is let go; with `refuse` it refuses then."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.waiting: list[Deferred[None]] = []

    @endpoint("GET", PATH, auth=Auth.USER_OR_GUEST, rate=Rate.NONE, waits=True, aliases=(r0,), spec="none")
    async def poll(self, request: Request) -> Reply:
        query = request.query
        assert request.started_s is not None
        if "wait" in query and self.clock.seconds() == request.started_s:
            wait: Deferred[None] = Deferred(lambda one: self.waiting.remove(one))
            self.waiting.append(wait)
            await wait
        if "refuse" in query:
            raise forbidden("No")
        return Encoded(said(request.requester, request._query_string, request.client_ip, request.request_id))

    def let_go(self) -> Callable[[], None]:
        waiting, self.waiting = self.waiting, []

        def go() -> None:
            for wait in waiting:
                wait.callback(None)

        return go


class QuickPoll:
    """The same on the quick lane. With `long` or `decline` in the query it does not want the request; with `late`, when
    it is let go; with `bug` it fails at once."""

    declaration = next(declarations_of(Poll))[1]

    def __init__(self) -> None:
        self.waiting: list[QuickExchange] = []

    def may_want(self, query_string: bytes) -> bool:
        return b"long=" not in query_string

    def take(self, exchange: QuickExchange) -> bool:
        try:
            query = Query(exchange.query_string)
            "wait" in query  # noqa: B015  (parses)
        except MatrixError:
            return False
        if "decline" in query:
            return False
        assert "bug" not in query, "a bug that is played"
        exchange.begin()
        if "wait" in query:
            exchange.on_gone = lambda: self.waiting.remove(exchange)
            self.waiting.append(exchange)
        else:
            self.answer(exchange)
        return True

    def answer(self, exchange: QuickExchange) -> None:
        query = Query(exchange.query_string)
        if "late" in query:
            exchange.hand_over()
        elif "refuse" in query:
            exchange.refuse(forbidden("No"))
        else:
            exchange.answer(said(exchange.requester, exchange.query_string, exchange.client_ip, exchange.request_id))

    def let_go(self) -> Callable[[], None]:
        waiting, self.waiting = self.waiting, []

        def go() -> None:
            for exchange in waiting:
                self.answer(exchange)

        return go


class Seen:
    """Stands for LastSeen: a note that is repeated says nothing new, and one that is handed over is."""

    def __init__(self) -> None:
        self.notes: list[tuple[Any, ...]] = []

    def note(self, *note: Any) -> None:
        if note not in self.notes[-1:]:
            self.notes.append(note)


class Server(LaneConnection):
    """One connection to a server, with or without the lane."""

    def __init__(self, has_lane: bool) -> None:
        accounts = Accounts()
        accounts.add("good")
        accounts.add("locked", "@locked:example.org", locked=True)
        accounts.add("expired", "@old:example.org", expires_at_ms=1)
        clock, router, self.seen = Clock(), Router(), Seen()
        self.slow, self.quick = Poll(clock), QuickPoll()
        router.add(self.slow, "sync")
        seen: Any = self.seen
        dispatcher = Dispatcher(
            Authenticator(accounts, lambda: 1_000_000, lambda: True), RateLimits({}, clock.seconds), last_seen=seen
        )
        super().__init__(
            clock,
            router,
            dispatcher,
            lambda reception: QuickLane(reception, dispatcher, [self.quick]) if has_lane else None,
        )
        for token in ("good", "locked", "expired"):  # from now on they are remembered
            self.receive(request(headers=(f"Authorization: Bearer {token}",)))
        assert self.transport.value().count(b"HTTP/1.1 200") == 1

    def waiting(self) -> list[Callable[[], None]]:
        return [self.quick.let_go(), self.slow.let_go()]

    def told(self) -> tuple[Any, ...]:
        return (*super().told(), self.seen.notes, len(self.slow.waiting) + len(self.quick.waiting))


GOOD = "Authorization: Bearer good"


def request(query: str = "", headers: tuple[str, ...] = (GOOD,), path: str = PATH) -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"GET {path}?{query} HTTP/1.1\r\nHost: example.org\r\n{lines}\r\n".encode("latin-1")


queries = st.sampled_from(
    ["", "a=b", "wait=", "wait=&late=", "wait=&refuse=", "long=", "decline=", "late=", "refuse=", "x=%zz",
     "wait=&x=%E2%9C%93+&y", "access_token=good", "access_token=bad", "a=1&&b", "?", "#", "a b", "é", "\t"]
)  # fmt: skip
header_lines = st.sampled_from(
    [GOOD, "authorization: bearer good", "Authorization:Bearer  good ", "Authorization: Bearer bad", "User-Agent: Me",
     "Authorization: Bearer locked", "Authorization: Bearer expired", "User-Agent: é", "X-Request-ID: told",
     "x-request-id:told", "X-Request-ID: t o l d", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2, 10.0.0.1",
     "x-forwarded-for: nonsense", "Connection: close", "Connection: keep-alive", "connection: Keep-Alive",
     "Connection: keep-alive, close", "Content-Length: 0", "Content-Length: 3", "Transfer-Encoding: chunked",
     "Expect: 100-continue", "Upgrade: websocket", "Cookie: a=b", "Empty:", "Empty: ", "Bad Name: x", "Bad : x",
     "X: a\tb", "X: \x00", " continued", "no colon", "X-" + "x" * 9000 + ": y", "", ": nothing", "TE: trailers"]
)  # fmt: skip
paths = st.sampled_from(
    [PATH, PATH.replace("v3", "r0"), PATH + "/", "/_matrix/client/v3/%70oll", "http://a" + PATH, "/"]
)
requests = st.builds(
    request, queries, st.lists(header_lines, max_size=4).map(lambda more: (GOOD, *more)) | st.just((GOOD,)), paths
)
pieces = requests | st.sampled_from([b"\r\n", b"abc", b"GET ", request("wait="), request(), b"\n", b""])


@settings(max_examples=ROUNDS, deadline=None)
@given(plays(requests | streams(pieces, 4), 2, [["let_go"], ["lose"]]))
@example([request(), request("wait="), "let_go", request("wait=&late="), "let_go", request(), "lose"])
@example([request("wait="), request("wait=") + request(), "let_go", "let_go", "lose"])
@example([request("wait="), "pause", "let_go", request(), "resume", "let_go"])
@example([b"\r\n", request(), b"\r\n\r\n", request(), "let_go"])
@example([request("wait="), b"x" * 20_000, "let_go", "let_go"])
@example([request("wait="), "drain", "let_go", request(), "let_go"])
def test_a_server_with_the_lane_says_what_one_without_it_does(play: list[bytes | str]) -> None:
    check_same(Server(has_lane=False), Server(has_lane=True), play)


def test_usual_requests_take_the_lane() -> None:
    server = Server(has_lane=True)
    before = server.taken
    server.receive(request())
    server.receive(request("wait=", (GOOD, "User-Agent: Me", "X-Request-ID: told", "Connection: keep-alive")))
    server.let_go()
    server.receive(request(path=PATH.replace("v3", "r0")))
    assert server.taken == before + 3
    assert server.transport.value().endswith(b"@alice:example.org||127.0.0.1|made-here")
    assert server.observed.finished[-2].request_id == "told"


def test_what_is_not_usual_does_not() -> None:
    server = Server(has_lane=True)
    before = server.taken
    for data in (
        request("long="),
        request("decline="),
        request(headers=()),
        request(headers=("Authorization: Bearer bad",)),
        request(headers=("Authorization: Bearer locked",)),
        request(headers=("Authorization: Bearer expired",)),
        request(headers=(GOOD, "Authorization: Bearer bad")),
        request(headers=(GOOD, "Content-Length: 0")),
        request("access_token=good"),
        request() + request(),
    ):
        server.receive(data)
    assert server.taken == before


def test_a_token_that_is_revoked_is_not_believed() -> None:
    server = Server(has_lane=True)
    server.receive(request("wait="))
    server.reception.dispatcher._authenticator.void()
    before = server.taken
    server.receive(request())
    server.let_go()
    assert server.taken == before


def test_a_bug_of_the_quick_way_goes_the_long_way() -> None:
    server = Server(has_lane=True)
    server.receive(request("bug="))
    assert server.transport.value().count(b"HTTP/1.1 200") == 2


def test_a_connection_that_waits_is_not_idle_and_one_that_is_idle_ends() -> None:
    server = Server(has_lane=True)
    server.receive(request("wait="))
    server.clock.advance(IDLE_TIMEOUT_S * 3)
    assert server.is_open
    server.let_go()
    server.clock.advance(IDLE_TIMEOUT_S - 1)
    assert server.is_open
    server.clock.advance(2)
    assert not server.is_open


def test_a_request_that_comes_by_drops_ends() -> None:
    for begun in (b"GET / HTTP/1.1\r\nX-A: ", b"PUT / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"):
        server = Server(has_lane=True)
        server.receive(begun)
        for _ in range(int(IDLE_TIMEOUT_S)):
            assert server.is_open
            server.clock.advance(1)
            server.receive(b"x")
        server.clock.advance(1)
        server.receive(b"x")
        assert not server.is_open


def test_a_large_body_may_take_its_time() -> None:
    server = Server(has_lane=True)
    server.receive(b"PUT / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(10):
        server.clock.advance(60)
        server.receive(b"x" * 60 * SLOWEST_BYTES_PER_S)
        assert server.is_open
