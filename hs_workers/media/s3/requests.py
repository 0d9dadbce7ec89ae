"""Requests to one bucket: signed, repeated where the store was busy or the connection broke, limited in time.

Rules: every request may be sent twice without harm, so all are repeated. A failure is StorageFailed, counted once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from hs_common.object_store.signing import EMPTY_SHA256, Credentials, encoded_path, encoded_query, signed_headers
from hs_common.replication.clock import Clock, pause
from hs_common.version import VERSION
from hs_workers.media.blobs import StorageFailed
from hs_workers.media.s3.answer_body import AnswerBody
from hs_workers.media.s3.sent_body import SentBody
from hs_workers.media.s3.spool import Spool

CONNECTIONS: Final = 32
"""Kept idle: as many as a worker has under way when it is busy."""
CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 30.0
"""Of silence before the head of an answer, counted from the last byte of ours that was taken."""
PAUSES_S: Final = (0.2, 1.0)
"""Before each repetition: a store that is busy for longer is an operator's matter, and the client may come back."""
ERROR_LIMIT_BYTES: Final = 16 * 1024
LIST_LIMIT_BYTES: Final = 4 << 20
"""A thousand keys take some 400 KB."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is still to be read. `size` is what the body has, in bytes."""

    status: int
    size: int
    body: AnswerBody

    async def text(self, limit_bytes: int) -> bytes:
        """All of the body, or as much as the limit lets through."""
        pieces, size = [], 0
        try:
            while size < limit_bytes and (data := await self.body.read(limit_bytes - size)):
                pieces.append(data)
                size += len(data)
        finally:
            self.body.close()
        return b"".join(pieces)


class Bucket:
    """`url` is the bucket's, with neither a slash at its end nor anything to encode; `failed` counts failures; `asked`
    is told of each request's method and seconds."""

    def __init__(
        self,
        reactor: Any,
        url: str,
        credentials: Credentials,
        now_ms: Callable[[], int],
        failed: Callable[[], None],
        asked: Callable[[str, float], None],
    ) -> None:
        self._reactor: Clock = reactor
        self._url = url
        self._credentials = credentials
        self._now_ms = now_ms
        self._failed = failed
        self._asked = asked
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = CONNECTIONS
        self._agent = Agent(reactor, connectTimeout=CONNECT_TIMEOUT_S, pool=self._pool)

    async def close(self) -> None:
        """Closes the idle connections."""
        await self._pool.closeCachedConnections()

    def object_url(self, key: str) -> str:
        """Where an object lies."""
        return f"{self._url}/{encoded_path(key)}"

    async def get(self, key: str, offset: int = 0) -> Answer | None:
        """An object from some byte on; None if there is none."""
        headers = {"range": f"bytes={offset}-"} if offset else {}
        return await self._repeated(lambda: self._ask("GET", self.object_url(key), headers), (200, 206))

    async def put(self, key: str, spool: Spool, sha256: bytes) -> None:
        """Stores all of the spool, whose digest the store compares."""
        url, digest = self.object_url(key), sha256.hex()
        headers = {"content-type": "application/octet-stream"}
        answer = await self._repeated(lambda: self._ask("PUT", url, headers, digest, spool), (200,))
        if answer is None:
            raise self._failure("there is no such bucket")
        await answer.text(ERROR_LIMIT_BYTES)

    async def delete(self, key: str) -> None:
        """Deletes an object, if it is there."""
        answer = await self._repeated(lambda: self._ask("DELETE", self.object_url(key), {}), (200, 204))
        if answer is not None:
            await answer.text(ERROR_LIMIT_BYTES)

    async def list(self, parameters: Mapping[str, str]) -> bytes:
        """A page of the bucket's list, as XML."""
        url = f"{self._url}?{encoded_query(parameters)}"
        answer = await self._repeated(lambda: self._ask("GET", url, {}), (200,))
        if answer is None:
            raise self._failure("there is no such bucket")
        return await answer.text(LIST_LIMIT_BYTES)

    async def _repeated(self, ask: Callable[[], Any], good: tuple[int, ...]) -> Answer | None:
        """The answer of the first try that is good; None if there is no such object."""
        reason = ""
        for pause_s in (*PAUSES_S, None):
            try:
                answer: Answer = await ask()
            except StorageFailed as error:
                reason = str(error)
            else:
                if answer.status in good:
                    return answer
                text = (await answer.text(ERROR_LIMIT_BYTES)).decode("utf-8", "replace")
                if answer.status == 404 and "NoSuchBucket" not in text:
                    return None
                reason = f"the store answered {answer.status}: {text[:300]}"
                if answer.status < 500 and answer.status not in (408, 429):
                    break
            if pause_s is not None:
                await pause(self._reactor, pause_s)
        raise self._failure(reason)

    def _failure(self, reason: str) -> StorageFailed:
        self._failed()
        return StorageFailed(reason)

    async def _ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        content_sha256: str = EMPTY_SHA256,
        spool: Spool | None = None,
    ) -> Answer:
        silence = _Silence(self._reactor)
        signed = signed_headers(self._credentials, method, url, self._now_ms(), content_sha256, headers)
        del signed["host"]  # twisted writes it
        signed["user-agent"] = f"Viaduct/{VERSION}"
        body: Any = None
        if spool is not None and spool.size:
            body = SentBody(spool, moved=silence.broken, ended=silence.lasts)
        raw = Headers({name: [value] for name, value in signed.items()})
        began_s = self._reactor.seconds()
        try:
            response = await silence.watch(self._agent.request(method.encode(), url.encode("ascii"), raw, body))
        except (CancelledError, StorageFailed):
            raise
        except Exception as error:
            raise StorageFailed(_reason(error)) from error
        finally:
            silence.end()
            self._asked(method.lower(), self._reactor.seconds() - began_s)
        answer_body = AnswerBody(self._reactor)
        response.deliverBody(answer_body)
        return Answer(response.code, response.length if isinstance(response.length, int) else -1, answer_body)


class _Silence:
    """Gives a request up after which nothing moves.

    The outcome is a Deferred of our own: of a request whose answer is no HTTP while its body is still on the way,
    twisted tells nothing any more, not even that it was cancelled.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asking: Deferred[Any] = Deferred()
        self._outcome: Deferred[Any] = Deferred(lambda _: self._asking.cancel())
        self._timer: Any = None
        self._reason = f"the store is silent for {ANSWER_TIMEOUT_S:g} s"

    def watch(self, asking: "Deferred[Any]") -> "Deferred[Any]":
        """What comes of the request; StorageFailed if it was given up."""
        self._asking = asking
        self._timer = self._clock.callLater(ANSWER_TIMEOUT_S, self._give_up)
        asking.addBoth(lambda result: None if self._outcome.called else self._outcome.callback(result))
        return self._outcome

    def broken(self) -> None:
        """Something has moved."""
        if self._timer is not None and self._timer.active():
            self._timer.reset(ANSWER_TIMEOUT_S)

    def lasts(self) -> None:
        """Nothing can move any more: the connection has ended. Its own reason comes first, if there is one."""
        self._reason = "the store ended the connection within a request"
        if self._timer is not None and self._timer.active():
            self._timer.reset(0)

    def end(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _give_up(self) -> None:
        self._outcome.errback(StorageFailed(self._reason))
        self._asking.cancel()


def _reason(error: Exception) -> str:
    reasons = getattr(error, "reasons", None)  # of ResponseNeverReceived and the like
    if reasons:
        error = getattr(reasons[-1], "value", error)
    return f"the store cannot be reached: {type(error).__name__}: {error}"[:500]
