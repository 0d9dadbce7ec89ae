"""Connections to application services: one request and its answer, bounded in size. Who limits the time cancels it."""

from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from hs_common.appservices.http_answer import HttpAnswer

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Third-party lookups may answer long lists; nothing else answers more than a line."""
KEPT_CONNECTIONS: Final = 8
KEEP_ALIVE_S: Final = 10


class Connections:
    """All that a process has open to services."""

    def __init__(self, reactor: Any) -> None:
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = KEPT_CONNECTIONS
        self._pool.cachedConnectionTimeout = KEEP_ALIVE_S
        # A kept connection that the service just closed is no failure: PUT and GET may be sent again.
        self._pool.retryAutomatically = True
        self._agent = Agent(reactor, connectTimeout=CONNECT_TIMEOUT_S, pool=self._pool)

    async def close(self) -> None:
        """Closes the idle ones."""
        await self._pool.closeCachedConnections()

    async def ask(self, method: str, url: str, headers: dict[str, list[str]], body: bytes | None) -> HttpAnswer:
        """Raises whatever twisted says of a request that failed."""
        producer: Any = None if body is None else _Bytes(body)
        response: Any = await self._agent.request(method.encode(), url.encode("ascii"), Headers(headers), producer)
        collecting = _Collecting()
        response.deliverBody(collecting)
        return HttpAnswer(response.code, await collecting.done)


@implementer(IBodyProducer)
class _Bytes:
    """A body that is there already."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All was written at once."""

    def resumeProducing(self) -> None:
        """All was written at once."""

    def stopProducing(self) -> None:
        """All was written at once."""


class _Collecting(TwistedProtocol):
    """The body of an answer, up to the limit."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.done: Deferred[bytes] = Deferred(lambda _: self._abort())

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > ANSWER_LIMIT_BYTES:
            self._abort()
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: B008 (twisted's signature)
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss) or self._size > ANSWER_LIMIT_BYTES:
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(reason)

    def _abort(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()
