"""A push gateway over real HTTP on loopback, which fails, hangs and rejects as a test says."""

from collections.abc import Callable
from typing import Any

import orjson

from hs_common.matrix.pushers import NOTIFY_PATH
from tests.workers.fake_site import HANG, LOSE_ANSWER, FakeSite

Notification = dict[str, Any]


class FakeGateway(FakeSite):
    """`behave(notification)` says the status of each answer; `received` is what was answered 200, in order."""

    def __init__(self) -> None:
        super().__init__(well=b'{"rejected":[]}')
        self.received: list[Notification] = []
        self.asked: list[Notification] = []
        self.rejected: list[str] = []
        self.behave: Callable[[Notification], int] = lambda notification: 200
        self.start()

    @property
    def url(self) -> str:
        return f"{self.origin}{NOTIFY_PATH}"

    def render_POST(self, request: Any) -> Any:
        assert request.path.decode() == NOTIFY_PATH
        notification = orjson.loads(request.content.read())["notification"]
        self.asked.append(notification)
        status = self.behave(notification)
        if status in (200, HANG, LOSE_ANSWER):
            self.received.append(notification)
        return self.answer(request, status, {"rejected": self.rejected})

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
