"""Hands a request that reached a worker without the endpoint's role to one that has it, and streams the answer back.

A reverse proxy with generated routes makes this rare; it makes wrong or missing routes a cost instead of an outage.
Rules: a request is forwarded once (the hop header); any failure of the other worker becomes 503 as JSON, which clients
repeat; nothing is sent a second time here, because a POST may have had its effect. Who takes no connection was sent
nothing, so another one is asked.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IPushProducer, IReactorTCP
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers

from hs_common.http.faults import unavailable
from hs_common.http.incoming import Incoming

HOP_HEADER: Final = b"x-viaduct-hop"
REQUEST_ID_HEADER: Final = b"x-request-id"

CONNECT_TIMEOUT_S: Final = 2.0
"""A worker is in the same network: what does not answer by then is gone, and the client should try again."""
ANSWER_TIMEOUT_S: Final = 180.0
"""Above the longest long poll that we allow."""
WORKERS_TRIED: Final = 3
"""With the time that a connection may take, still below the 10 s in which a request has to end."""
KEPT_CONNECTIONS: Final = 20
KEEP_ALIVE_S: Final = 30
"""Below the listeners' idle timeout, so that no request meets a connection that is just being closed."""

_HOP_BY_HOP: Final = frozenset(
    (
        b"connection", b"content-length", b"expect", b"host", b"keep-alive", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"x-forwarded-for", b"x-request-id", b"x-viaduct-hop",
    )
)  # fmt: skip


class Sink(Protocol):
    """Where a streamed response goes."""

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None: ...
    def write(self, data: bytes) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...


class Forwarder:
    """Forwards to one of the live workers, (host, port), that `find_workers` names for a role, in a random order."""

    def __init__(self, reactor: Any, find_workers: Callable[[str], Sequence[tuple[str, int]]]) -> None:
        self._clock = reactor
        self._find_workers = find_workers
        self._pool = HTTPConnectionPool(_tcp(reactor))
        self._pool.maxPersistentPerHost = KEPT_CONNECTIONS
        self._pool.cachedConnectionTimeout = KEEP_ALIVE_S
        self._pool.retryAutomatically = False
        self._agent = Agent(_tcp(reactor), connectTimeout=CONNECT_TIMEOUT_S, pool=self._pool)
        self._cooperator = Cooperator(scheduler=lambda step: reactor.callLater(0, step))

    async def forward(self, incoming: Incoming, role: str, sink: Sink) -> None:
        """Sends the request on and the response back. 503 if that fails before the response has begun."""
        response = await self._first_that_listens(incoming, role)
        sink.begin(response.code, _end_to_end(response.headers, response.length))
        await _copy(response, sink)

    async def _first_that_listens(self, incoming: Incoming, role: str) -> Any:
        """The response of the first worker that takes the connection: who died a moment ago still has a fresh row."""
        for worker in self._find_workers(role)[:WORKERS_TRIED]:
            try:
                return await self._ask(incoming, worker)
            except CancelledError:
                raise
            except ConnectError:
                continue  # nothing was sent
            except Exception as error:
                raise unavailable(f"The worker for {role} requests does not answer") from error
        raise unavailable(f"No worker serves {role} requests at the moment")

    async def _ask(self, incoming: Incoming, worker: tuple[str, int]) -> Any:
        host, port = worker
        query = b"?" + incoming.query_string if incoming.query_string else b""
        uri = f"http://{f'[{host}]' if ':' in host else host}:{port}".encode() + incoming.uri_path.encode() + query
        incoming.content.seek(0)
        body: Any = FileBodyProducer(incoming.content, cooperator=self._cooperator)
        return await self._agent.request(
            incoming.method.encode(), uri, _request_headers(incoming), body if body.length else None
        ).addTimeout(ANSWER_TIMEOUT_S, self._clock)

    async def close(self) -> None:
        """Closes the idle connections."""
        await self._pool.closeCachedConnections()


def _tcp(reactor: Any) -> Any:
    assert IReactorTCP.providedBy(reactor), "forwarding needs a reactor that opens TCP connections"
    return reactor


def _request_headers(incoming: Incoming) -> Headers:
    headers = Headers(
        {name: values for name, values in incoming.headers.getAllRawHeaders() if name.lower() not in _HOP_BY_HOP}
    )
    host = incoming.headers.getRawHeaders(b"host")
    if host:
        headers.setRawHeaders(b"host", host[:1])
    headers.setRawHeaders(HOP_HEADER, [b"1"])
    headers.setRawHeaders(REQUEST_ID_HEADER, [incoming.request_id.encode()])
    headers.setRawHeaders(b"x-forwarded-for", [incoming.client_ip.encode()])
    return headers


def _end_to_end(headers: Headers, length: object) -> Iterable[tuple[bytes, bytes]]:
    for name, values in headers.getAllRawHeaders():
        if name.lower() not in _HOP_BY_HOP and name.lower() not in (b"date", b"server"):
            for value in values:
                yield name, value
    if isinstance(length, int):
        yield b"Content-Length", b"%d" % length


async def _copy(response: Any, sink: Sink) -> None:
    """Copies the body as fast as the client takes it. Raises if the other worker breaks off in the middle."""
    copying = _Copying(sink)
    response.deliverBody(copying)
    await copying.done


class _Copying(TwistedProtocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.done: Deferred[None] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        self._sink.registerProducer(self.transport, True)  # type: ignore[arg-type]

    def dataReceived(self, data: bytes) -> None:
        if not self.done.called:
            self._sink.write(data)

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: B008 (twisted's signature)
        if self.done.called:
            return
        self._sink.unregisterProducer()
        if reason.check(ResponseDone):
            self.done.callback(None)
        else:
            self.done.errback(reason)

    def _abort(self) -> None:
        """The client has gone: the other worker need not go on."""
        transport: Any = self.transport
        transport.loseConnection()
