"""The body of a request to the object store: read from the spool while it is sent, as fast as the store takes it."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from hs_workers.media.s3.spool import Spool

PIECE_BYTES: Final = 128 * 1024


@implementer(IBodyProducer)
class SentBody:
    """All of a spool. `moved` is called whenever the store has taken some, `ended` if it can take no more."""

    def __init__(self, spool: Spool, moved: Callable[[], None], ended: Callable[[], None]) -> None:
        self._spool = spool
        self._moved = moved
        self._ended = ended
        self.length = spool.size
        self._resumed: Deferred[None] | None = None
        self._stopped = False

    def startProducing(self, consumer: Any) -> Deferred[None]:
        sent: Deferred[None] = Deferred()
        work = Deferred.fromCoroutine(self._send(consumer))
        # Of one that was stopped nothing is told: so the interface has it.
        work.addCallback(lambda _: None if self._stopped else sent.callback(None))
        work.addErrback(lambda failure: None if self._stopped else sent.errback(failure))
        return sent

    async def _send(self, consumer: Any) -> None:
        offset = 0
        while offset < self.length and not self._stopped:
            if self._resumed is not None:
                await self._resumed
            data = await self._spool.read(offset, PIECE_BYTES)
            if not data:
                raise EOFError("the upload was discarded")
            if self._stopped:
                return
            offset += len(data)
            consumer.write(data)
            self._moved()

    def pauseProducing(self) -> None:
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """The connection has ended."""
        self._stopped = True
        self.resumeProducing()
        self._ended()
