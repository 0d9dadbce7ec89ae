"""A push gateway over real HTTP on loopback, which fails, hangs and rejects as a test says."""

from collections.abc import Callable
from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from hs_common.matrix.pushers import NOTIFY_PATH
from tests.reactor import reactor

HANG = -1
LOSE_ANSWER = -2

Notification = dict[str, Any]


class FakeGateway(Resource):
    """`behave(notification)` says the status of each answer; `received` is what was answered 200, in order."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.received: list[Notification] = []
        self.asked: list[Notification] = []
        self.rejected: list[str] = []
        self.behave: Callable[[Notification], int] = lambda notification: 200
        self._site = Site(self)
        self._hung: list[Any] = []
        self._port: Any = reactor.listenTCP(0, self._site, interface="127.0.0.1")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port.getHost().port}{NOTIFY_PATH}"

    async def stop(self) -> None:
        await self._port.stopListening()
        for reader in reactor.getReaders():
            if getattr(getattr(reader, "protocol", None), "factory", None) is self._site:
                reader.abortConnection()
        gone: Deferred[None] = Deferred()
        reactor.callLater(0, gone.callback, None)
        await gone

    def answer_the_hung(self) -> None:
        hung, self._hung = self._hung, []
        for request in hung:
            request.write(b'{"rejected":[]}')
            request.finish()

    def render_POST(self, request: Any) -> Any:
        assert request.path.decode() == NOTIFY_PATH
        notification = orjson.loads(request.content.read())["notification"]
        self.asked.append(notification)
        status = self.behave(notification)
        if status in (200, HANG, LOSE_ANSWER):
            self.received.append(notification)
        if status == HANG:
            self._hung.append(request)
            return NOT_DONE_YET
        if status == LOSE_ANSWER:
            request.transport.abortConnection()
            return NOT_DONE_YET
        request.setResponseCode(status)
        request.setHeader("content-type", "application/json")
        return orjson.dumps({"rejected": self.rejected})

    def events(self, pushkey: str | None = None) -> list[str]:
        """The events that were taken, of one pusher or of all, in order."""
        return [
            one["event_id"]
            for one in self.received
            if "event_id" in one and pushkey in (None, one["devices"][0]["pushkey"])
        ]

    @property
    def badges(self) -> list[int]:
        """The counts told without an event."""
        return [one["counts"]["unread"] for one in self.received if "event_id" not in one]
