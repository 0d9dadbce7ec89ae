"""An application service over real HTTP on loopback, which fails, hangs and dies as a test says."""

from collections.abc import Callable
from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.reactor import reactor

HANG = -1
LOSE_ANSWER = -2


class Received:
    """One request that arrived."""

    def __init__(self, request: Any) -> None:
        self.method: str = request.method.decode()
        self.path: str = request.path.decode()
        self.query = {name.decode(): values[0].decode() for name, values in request.args.items()}
        self.authorization: str = (request.getHeader("authorization") or "").removeprefix("Bearer ")
        body = request.content.read()
        self.json: Any = orjson.loads(body) if body else None

    @property
    def txn_id(self) -> str:
        return self.path.rpartition("/")[2]


class FakeService(Resource):
    """`behave(received)` says the status of each answer; HANG: none at all; LOSE_ANSWER: the connection breaks.

    `transactions` are those accepted, by token and id, in the order of their first arrival: a repeat changes nothing.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.requests: list[Received] = []
        self.transactions: dict[str, dict[str, Any]] = {}
        self.repeats: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.behave: Callable[[Received], int] = lambda received: 200
        self.answers: Callable[[Received], Any] = lambda received: {}
        self._port: Any = None
        self._site = Site(self)
        self._number = 0
        self._hung: list[Any] = []

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

    def answer_the_hung(self) -> None:
        """Answers what hangs, well."""
        hung, self._hung = self._hung, []
        for request in hung:
            request.write(b"{}")
            request.finish()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._number}"

    def render(self, request: Any) -> Any:
        received = Received(request)
        self.requests.append(received)
        status = self.behave(received)
        if status in (200, LOSE_ANSWER) and "/transactions/" in received.path:
            self._accept(received)
        if status == HANG:
            self._hung.append(request)
            return NOT_DONE_YET
        if status == LOSE_ANSWER:
            request.transport.abortConnection()
            return NOT_DONE_YET
        request.setResponseCode(status)
        request.setHeader("content-type", "application/json")
        return orjson.dumps(self.answers(received) if status == 200 else {"errcode": "M_UNRECOGNIZED"})

    def _accept(self, received: Received) -> None:
        first = self.transactions.setdefault(f"{received.authorization} {received.txn_id}", received.json)
        if first is not received.json:
            self.repeats.append((first, received.json))

    @property
    def event_ids(self) -> list[str]:
        """The events of all transactions accepted, in their order."""
        return [event["event_id"] for body in self.transactions.values() for event in body["events"]]

    @property
    def ephemeral(self) -> list[dict[str, Any]]:
        return [event for body in self.transactions.values() for event in body.get("ephemeral", [])]
