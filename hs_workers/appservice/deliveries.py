"""The services that this worker sends to: one sender for each whose share it holds, told of news as the log has them.

Spec: application-service-api/#pushing-events.
"""

from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from hs_common.appservices.http_client import ServiceClient
from hs_common.appservices.registry import ServiceRegistry
from hs_common.process.settling import Settling
from hs_common.process.shares import ShareKeeper, Timing, shard_of
from hs_common.replication import items
from hs_common.replication.clock import Clock
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.ephemeral import KeyCounts, Message
from hs_common.replication.subscription import Subscription
from hs_common.storage import service_queue
from hs_common.storage.queries import DatabaseError, Queries
from hs_workers.appservice.devices import DeviceLane
from hs_workers.appservice.ephemeral import GATHER_S, EphemeralLane
from hs_workers.appservice.heard import Heard, tell
from hs_workers.appservice.sender import ServiceSender, World

DUTY: Final = "appservice"
KINDS: Final = ("event", "membership", "receipt", "to_device", "devices", "cross_signing")
NOT_YET: Final = 2**63 - 1
"""A position that nothing has reached: of the log nothing has been heard."""

_log = Logger()


class Deliveries:
    """Keeps senders for the services of the shares held. `members`: the living workers of this role, by their ids."""

    def __init__(
        self,
        *,
        db: Queries,
        http: ServiceClient,
        clock: Clock,
        random: Random,
        now_ms: Callable[[], int],
        registry: ServiceRegistry,
        me: str,
        members: Callable[[], Collection[str]],
        background: Callable[[str, Coroutine[Any, Any, None]], None],
        timing: Timing | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._registry = registry
        self._background = background
        self._senders: dict[str, ServiceSender] = {}
        self._ending: set[ServiceSender] = set()
        self._heard: dict[str, Heard] = {}  # of each sender
        self._settling = Settling(clock, background, "application services to send to", self._settle)
        self.keeper = ShareKeeper(db, clock, DUTY, me, members, self._settling.changed, self._give_up, timing)
        self.lane = EphemeralLane(db, lambda: registry.known, self._hearing)
        self.lane.now_ms = now_ms
        self._devices = DeviceLane(db, lambda: registry.known, lambda: self._senders)
        self._world = World(db, http, clock, random, now_ms, self.keeper.may_start, self.lane, self._devices)
        self._heard_to = NOT_YET  # what comes above is heard
        self._sorting = False

    # --- life ---

    def start(self) -> None:
        self._registry.on_item = self.service_told
        self._registry.when_changed(self._settling.changed)
        self.keeper.start()
        self._settling.changed()

    async def stop(self) -> None:
        """Ends requests under way, and lets other workers go on."""
        self._settling.stop()
        await self.keeper.stop()
        self._registry.on_item = lambda item: None

    def abandon(self) -> None:
        """Stops as if the process had died."""
        self._settling.stop()
        self.keeper.abandon()
        for sender in self._senders.values():
            sender.work.abandon()

    @property
    def sending_to(self) -> list[str]:
        """The services that this worker sends to."""
        return sorted(self._senders)

    @property
    def is_sending(self) -> bool:
        """Whether a service is just taking a transaction: what is heard meanwhile goes into the next one."""
        return any(sender.is_sending for sender in self._senders.values())

    # --- what the log and the ephemeral stream tell ---

    def subscription(self) -> Subscription:
        """For the process' follower: events and news of devices wake senders, receipts go into the ephemeral lane."""
        return Subscription("application services' news", KINDS, self._apply, self._reset)

    def _apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        self._heard_to = entry.pos
        if not self._senders:
            return
        for one in batch:
            item = items.decode(one.kind, one.body)
            if isinstance(item, items.EventItem | items.MembershipItem):
                self._wake(tell(self._heard, item, one.pos))
            elif isinstance(item, items.ReceiptItem):
                self.heard(item)
            elif isinstance(item, items.ToDeviceItem | items.DevicesItem | items.CrossSigningItem):
                self._wake(self._devices.heard(item))

    def heard(self, message: Message | items.ReceiptItem) -> None:
        """Something ephemeral came up."""
        if isinstance(message, KeyCounts):
            self._wake(self._devices.heard(message))
        elif self.lane.heard(message) and not self._sorting:
            self._sorting = True
            self._clock.callLater(GATHER_S, self._begin_sorting)

    def service_told(self, item: items.AppServiceItem) -> None:
        """The log tells of a service. That registrations changed is heard from the registry."""
        sender = self._senders.get(item.service_id)
        if item.woken and sender is not None:
            sender.retry_now()

    def _reset(self, pos: int) -> None:
        self._heard_to = pos
        for heard in self._heard.values():
            heard.gap(pos)
        for sender in self._senders.values():
            self._devices.look(sender.to.service_id)
            sender.news()

    def _wake(self, service_ids: Iterable[str]) -> None:
        for service_id in service_ids:
            if service_id in self._senders:
                self._senders[service_id].news()

    def _begin_sorting(self) -> None:
        self._background("ephemeral events for application services", self._sort())

    async def _sort(self) -> None:
        self._sorting = False
        try:
            self._wake(await self.lane.sort())
        except DatabaseError as error:
            _log.warn("ephemeral events for application services are dropped: {error}", error=error)

    def _hearing(self) -> set[str]:
        rows = self._registry.rows
        return {
            service_id
            for service_id in self._senders
            if service_id in rows and rows[service_id].registration.receive_ephemeral
        }

    # --- which services ---

    async def _settle(self) -> None:
        """A sender for each service of the shares held, as it is registered now; no others."""
        await self._registry.services()
        held = self.keeper.held
        wanted = {
            service.id: held[shard_of(service.id)] for service in self._registry.known if shard_of(service.id) in held
        }
        for service_id, sender in list(self._senders.items()):
            if wanted.get(service_id) != sender.term or self._registry.destination(service_id) != sender.to:
                await self._end(sender)
        for service_id, term in wanted.items():
            self._start(service_id, term)
        for service_id in await service_queue.unregistered(self._db):
            if shard_of(service_id) in held:
                await service_queue.forget(self._db, service_id)

    def _start(self, service_id: str, term: int) -> None:
        to, row = self._registry.destination(service_id), self._registry.rows[service_id]
        sender = self._senders.get(service_id)
        if sender is not None:
            sender.paused = row.paused
            sender.news()
        elif to is not None:
            heard = self._heard[service_id] = Heard(self._heard_to)
            sender = ServiceSender(self._world, to, term, row.made_pos, heard, paused=row.paused)
            self._senders[service_id] = sender
            sender.work.start()

    async def _give_up(self, shards: Collection[int]) -> None:
        running = {*self._senders.values(), *self._ending}
        given = [sender for sender in running if shard_of(sender.to.service_id) in shards]
        await gatherResults([Deferred.fromCoroutine(self._end(sender)) for sender in given], consumeErrors=True)

    async def _end(self, sender: ServiceSender) -> None:
        service_id = sender.to.service_id
        if self._senders.get(service_id) is sender:
            del self._senders[service_id]
            del self._heard[service_id]
            self.lane.forget(service_id)
            self._devices.forget(service_id)
        self._ending.add(sender)
        await sender.work.stop()
        self._ending.discard(sender)
