"""A server over real HTTP on loopback, which hangs, breaks off and goes away as a test says."""

from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.reactor import reactor

HANG = -1
LOSE_ANSWER = -2


class FakeSite(Resource):
    """Comes back on the same port after it was stopped. `well` is what a request that hung is answered in the end."""

    isLeaf = True

    def __init__(self, well: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._well = well
        self._port: Any = None
        self._site = Site(self)
        self._number = 0
        self._hung: list[Any] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._number}"

    def start(self) -> None:
        self._port = reactor.listenTCP(self._number, self._site, interface="127.0.0.1")
        self._number = self._port.getHost().port

    async def stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Breaks every connection."""
        for reader in reactor.getReaders():
            if getattr(getattr(reader, "protocol", None), "factory", None) is self._site:
                reader.abortConnection()
        gone: Deferred[None] = Deferred()
        reactor.callLater(0, gone.callback, None)
        await gone

    def answer(self, request: Any, status: int, body: Any) -> Any:
        """What to render: a status, or HANG for none at all, LOSE_ANSWER for a connection that breaks."""
        if status == HANG:
            self._hung.append(request)
            return NOT_DONE_YET
        if status == LOSE_ANSWER:
            request.transport.abortConnection()
            return NOT_DONE_YET
        request.setResponseCode(status)
        request.setHeader("content-type", "application/json")
        return orjson.dumps(body)

    def answer_the_hung(self) -> None:
        """Answers what hangs, well."""
        hung, self._hung = self._hung, []
        for request in hung:
            request.write(self._well)
            request.finish()
