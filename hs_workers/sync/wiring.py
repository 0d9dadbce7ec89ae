"""Puts the sync worker together. The only place that knows which of its parts needs which."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hs_common.process.background import Background
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.room_view import RoomViews
from hs_common.reading.thread_updates import ThreadUpdates
from hs_common.replication.clock import Clock
from hs_common.replication.ephemeral import Message
from hs_common.replication.ephemeral_view import EphemeralView
from hs_common.replication.link_interface import Link
from hs_common.replication.subscription import Subscription
from hs_common.storage.queries import Queries
from hs_workers.sync.answering import Answering, Log
from hs_workers.sync.audience import Audience
from hs_workers.sync.client_filters import ClientFilters
from hs_workers.sync.devices import Devices
from hs_workers.sync.fast_lane import FastLane
from hs_workers.sync.general import GeneralWay
from hs_workers.sync.members_sent import MembersSent
from hs_workers.sync.old_sync import OldSync
from hs_workers.sync.peeking import Peeking
from hs_workers.sync.presence_by_sync import PresenceBySync
from hs_workers.sync.quick_polls import Memory, QuickPolls
from hs_workers.sync.recent_log import RecentLog
from hs_workers.sync.shared_news import SharedNews
from hs_workers.sync.sliding.answering import SlidingAnswering
from hs_workers.sync.sliding.extensions import Extensions
from hs_workers.sync.sliding.telling import Telling
from hs_workers.sync.sliding.viewing import Viewing
from hs_workers.sync.sliding_sync import SlidingSync
from hs_workers.sync.sync import Sync
from hs_workers.sync.sync_log import SyncLog
from hs_workers.sync.unread_memory import UnreadMemory
from hs_workers.sync.waiting import WaitingClients

ENDPOINT_CLASSES: tuple[type, ...] = (Sync, OldSync, SlidingSync)
"""What processes of other roles declare to their routers."""


class Following(Protocol):
    """The process' place in the log, as far as this role asks of it."""

    ephemeral: EphemeralView
    someone_waits: Callable[[], bool]

    @property
    def follower(self) -> Log:
        """The follower; used only while requests are served."""

    def subscribe(self, subscription: Subscription) -> None:
        """Hand items of the log to a subscriber."""

    def hurry(self) -> None:
        """Somebody waits now for what the log tells."""

    def when_advanced(self, call: Callable[[int], None]) -> None:
        """Call after each batch."""

    def when_ephemeral(self, call: Callable[[Message], None]) -> None:
        """Call with what is ephemeral and new."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the role uses of its process. `now_ms` is the time of day, `clock` is monotonic, `maximum_timeout_ms` the
    longest that a client may wait."""

    db: Queries
    master: Link
    background: Background
    clock: Clock
    now_ms: Callable[[], int]
    server_name: str
    maximum_timeout_ms: int


class SyncParts:
    """The parts of the role. To be made before the follower starts; `end` when the process begins to stop."""

    def __init__(self, outside: Outside, following: Following) -> None:
        db, clock = outside.db, outside.clock
        self.recent = RecentLog()
        self.audience = Audience(db, lambda: following.follower.position.pos)
        self.waiting = WaitingClients(clock, lambda: following.hurry())
        self.settings = ReaderSettings(db)
        self.unread = UnreadMemory(self.recent)
        self.members_sent = MembersSent()
        self.devices = Devices(db, lambda: following.follower.position.pos, clock.seconds)
        self.log = SyncLog(
            db,
            self.recent,
            self.audience,
            self.waiting,
            self.settings,
            self.unread,
            self.members_sent,
            self.devices,
            outside.background,
            clock.seconds,
        )
        self.general = GeneralWay(db, following.ephemeral, self.members_sent, outside.now_ms, outside.background)
        self.shared = SharedNews(self.recent, following.ephemeral, self.members_sent, self.unread, outside.server_name)
        self.fast = FastLane(
            self.recent,
            self.shared,
            self.audience,
            following.ephemeral,
            self.members_sent,
            self.unread,
            self.log.device_changes,
            outside.server_name,
            outside.now_ms,
        )
        self.answering = Answering(
            db,
            lambda: following.follower,
            self.general,
            self.fast,
            self.audience,
            self.waiting,
            self.settings,
            self.devices,
            clock.seconds,
        )
        presence = PresenceBySync(outside.master, outside.background, clock.seconds)
        self.peeking = Peeking(db, clock, outside.now_ms)
        longest = outside.maximum_timeout_ms
        self.sliding = self._make_sliding(outside, following)
        filters = ClientFilters(db)
        memory = self._memory(following)
        self.quick = QuickPolls(memory, filters, self.waiting, presence, clock.seconds, longest)
        self.endpoints: list[object] = [
            Sync(self.answering, filters, presence, clock.seconds, longest),
            OldSync(db, self.answering, self.peeking, longest),
            SlidingSync(self.sliding, presence, longest),
        ]
        following.subscribe(self.viewing.subscription())
        following.subscribe(self.log.subscription())
        following.subscribe(self.peeking.subscription())
        following.when_advanced(self.log.advanced)
        following.when_ephemeral(self.log.heard)
        following.someone_waits = lambda: len(self.waiting) > 0

    def _memory(self, following: Following) -> Memory:
        return Memory(
            lambda: following.follower,
            self.audience,
            self.settings,
            self.devices,
            self.recent,
            following.ephemeral,
            self.answering.lost,
            self.fast,
        )

    def _make_sliding(self, outside: Outside, following: Following) -> SlidingAnswering:
        db, clock = outside.db, outside.clock
        self.viewing = Viewing(db, lambda: following.follower.position.pos)
        views = RoomViews(db)
        threads = ThreadUpdates(db, views, ClientEvents(db, views, outside.now_ms))
        extensions = Extensions(db, following.ephemeral, threads)
        telling = Telling(db, self.recent, extensions, outside.background, outside.now_ms)
        return SlidingAnswering(
            db,
            lambda: following.follower,
            self.audience,
            self.waiting,
            self.settings,
            self.devices,
            self.viewing,
            following.ephemeral,
            telling,
            outside.background,
            clock.seconds,
        )

    def end(self) -> None:
        """Answers all who wait, with the token that they came with."""
        self.waiting.end()
        self.peeking.end()
