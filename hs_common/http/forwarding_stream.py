"""Sends the body of a forwarded request on while it comes: neither worker holds more of it than a piece."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from hs_common.http.body_stream import BodyStream


@implementer(IBodyProducer)
class StreamedBody:
    """A BodyStream as twisted.web's client wants a body."""

    def __init__(self, stream: BodyStream) -> None:
        self.length: Any = UNKNOWN_LENGTH if stream.length is None else stream.length
        self._stream = stream
        self._resumed: Deferred[None] | None = None
        self._pumping: Deferred[None] | None = None
        self._sent: Deferred[None] = Deferred()
        self._stopped = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Fires when all has been written; never after `stopProducing`, as the interface demands."""
        self._pumping = Deferred.fromCoroutine(self._pump(consumer))
        self._pumping.addBoth(self._ended)
        return self._sent

    async def _pump(self, consumer: Any) -> None:
        while data := await self._stream.read():
            consumer.write(data)
            if self._resumed is not None:
                await self._resumed

    def _ended(self, result: Any) -> None:
        if not self._stopped:
            self._sent.callback(result)

    def pauseProducing(self) -> None:
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.called:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """The other worker has gone or has answered: the rest is not wanted."""
        self._stopped = True
        if self._pumping is not None:
            self._pumping.cancel()
