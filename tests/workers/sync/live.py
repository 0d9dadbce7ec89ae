"""A sync worker that follows a TestMaster's log by hand: `follow` applies what was published, in this very turn."""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from hs_common.process.background import Background
from hs_common.replication import calls, items
from hs_common.replication.carrier import Position
from hs_common.replication.entry import Entry, decode_body, encode_body
from hs_common.replication.ephemeral import Message
from hs_common.replication.ephemeral_view import EphemeralView
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from hs_common.replication.names import FORMAT
from hs_common.replication.subscription import Subscription, hand_out
from hs_common.storage.database import Database
from hs_workers.sync.wiring import Outside, SyncParts
from tests.master.harness import SERVER
from tests.workers.sync.world import NOW_MS, World


class HandFollower:
    """The follower's face."""

    def __init__(self) -> None:
        self.position = Position(1, 0)
        self.is_live = True
        self.asked_to_catch_up = 0
        self.comes_to = 0  # what waiting for a position leads to

    def catch_up(self) -> None:
        self.asked_to_catch_up += 1

    async def wait_for(self, pos: int, timeout: float) -> bool:
        self.position = Position(1, max(self.position.pos, self.comes_to))
        return self.position.pos >= pos


class HandFollowing:
    """What a process gives its roles."""

    def __init__(self) -> None:
        self.ephemeral = EphemeralView()
        self.follower = HandFollower()
        self.someone_waits: Callable[[], bool] = lambda: False
        self.subscriptions: list[Subscription] = []
        self.advanced: list[Callable[[int], None]] = []
        self.heard: list[Callable[[Message], None]] = []
        self.hurried = 0

    def hurry(self) -> None:
        self.hurried += 1

    def subscribe(self, subscription: Subscription) -> None:
        self.subscriptions.append(subscription)

    def when_advanced(self, call: Callable[[int], None]) -> None:
        self.advanced.append(call)

    def when_ephemeral(self, call: Callable[[Message], None]) -> None:
        self.heard.append(call)


class NotedCalls:
    """A link that notes the calls."""

    def __init__(self) -> None:
        self.calls: list[calls.Call] = []

    async def call(
        self, call: calls.Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS
    ) -> calls.Answer:
        self.calls.append(call)
        return calls.Answer(pos=0)


class Live:
    """The worker and its hand-cranked place in the log."""

    def __init__(self, w: World, db: Database | None = None) -> None:
        self.w = w
        self.clock = Clock()
        self.following = HandFollowing()
        self.link = NotedCalls()
        self.background = Background()
        database: Any = db or w.m.db
        outside = Outside(database, self.link, self.background, self.clock, lambda: NOW_MS, SERVER, 120_000)
        self.parts = SyncParts(outside, self.following)
        self._taken = 0
        self._counter = 0

    def follow(self) -> None:
        """Applies what the master has published since."""
        for entry in self.w.m.entries[self._taken :]:
            self._taken += 1
            assert hand_out(self.following.subscriptions, entry, decode_body(entry)) == 0
            self.following.follower.position = Position(1, entry.pos)
        for call in self.following.advanced:
            call(self.following.follower.position.pos)

    def start(self) -> None:
        """Starts at the head, as a process does."""
        self._taken = len(self.w.m.entries)
        position = self.w.m.entries[-1].pos if self.w.m.entries else 0
        self.following.follower.position = Position(1, position)
        for subscription in self.following.subscriptions:
            subscription.reset(position)

    def apply_item(self, item: items.Item) -> None:
        """An item as if the master had written it."""
        position = self.following.follower.position.pos + 1
        body = encode_body(0, [(position, items.KIND_OF[type(item)], items.encode(item))])
        entry = Entry(1, position, position - 1, FORMAT, body)
        assert hand_out(self.following.subscriptions, entry, decode_body(entry)) == 0

    def hear(self, body: bytes) -> None:
        """A message of the ephemeral stream."""
        self._counter += 1
        message = self.following.ephemeral.apply(self._counter, body, NOW_MS)
        if message is not None:
            for call in self.following.heard:
                call(message)
