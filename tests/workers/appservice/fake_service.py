"""An application service over real HTTP on loopback, which fails, hangs and dies as a test says."""

from collections.abc import Callable
from typing import Any

import orjson

from tests.workers.fake_site import LOSE_ANSWER, FakeSite


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


class FakeService(FakeSite):
    """`behave(received)` says the status of each answer; HANG: none at all; LOSE_ANSWER: the connection breaks.

    `transactions` are those accepted, by token and id, in the order of their first arrival: a repeat changes nothing.
    """

    def __init__(self) -> None:
        super().__init__(well=b"{}")
        self.requests: list[Received] = []
        self.transactions: dict[str, dict[str, Any]] = {}
        self.repeats: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.behave: Callable[[Received], int] = lambda received: 200
        self.answers: Callable[[Received], Any] = lambda received: {}

    @property
    def url(self) -> str:
        return self.origin

    def render(self, request: Any) -> Any:
        received = Received(request)
        self.requests.append(received)
        status = self.behave(received)
        if status in (200, LOSE_ANSWER) and "/transactions/" in received.path:
            self._accept(received)
        return self.answer(request, status, self.answers(received) if status == 200 else {"errcode": "M_UNRECOGNIZED"})

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
