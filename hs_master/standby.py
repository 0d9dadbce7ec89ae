"""What a master that stands by keeps ready: the heads of the rooms that are busy, so that it can decide at once.

Rules: it follows the log as workers do, and a head moves on by what items say, never by a guess: where an item does not
say all (forks, adopted rooms), the head is dropped and read anew. A head is taken from the database only if nothing was
heard of its room between the beginning of the reading and the log's head after it. At the take-over everything is
brought to the new term's first position, or nothing is used. Failure rules, section 2.
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final

import orjson
from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.matrix import auth_rules
from hs_common.matrix.auth_rules import domain_of
from hs_common.matrix.event import Event
from hs_common.process.ongoing import Ongoing
from hs_common.replication import items
from hs_common.replication.carrier import Carrier, OutboxReader
from hs_common.replication.clock import Clock, pause
from hs_common.replication.entry import Entry, EntryItem, UnknownFormat
from hs_common.replication.follower import Follower
from hs_common.replication.subscription import Subscription
from hs_common.storage import log
from hs_common.storage.queries import DatabaseError, Queries
from hs_master.rooms.head import RoomHead
from hs_master.rooms.needs import Loader, Needs
from hs_master.step import Knowledge

# Rooms kept ready: those that anything happened in last. A head costs some 4 KiB, its state entries some 2 KiB each.
MAXIMUM_ROOMS: Final = 2_000
ROOMS_AT_A_TIME: Final = 100
SENDERS_OF_A_ROOM: Final = 20
INTERVAL_S: Final = 1.0
# Longer than this the take-over waits for nothing: cold heads are read as they are needed.
CATCH_UP_S: Final = 0.25

_log = Logger()


class Standby:
    """Follows from `start` until `knowledge_at` or `stop`; then it is used up."""

    def __init__(
        self,
        db: Queries,
        clock: Clock,
        random: Random,
        outbox: OutboxReader,
        make_carrier: Callable[[], Carrier | None],
        server_name: str,
        background: Callable[[str, Coroutine[Any, Any, None]], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._server_name = server_name
        self._background = background
        self._make_carrier = make_carrier
        self.knowledge = Knowledge()
        self._busy: OrderedDict[str, Bounded[str, None]] = OrderedDict()  # room → its last senders
        self._follower = Follower(clock, random, outbox, [self._subscription()], self._cannot_read)
        self._is_void = False
        self._filling = Ongoing(clock, "learning rooms while standing by", self._fill_on)

    def start(self) -> None:
        self._background("follow the log while standing by", self._start())

    async def _start(self) -> None:
        await self._follower.start(self._make_carrier())
        if not self._is_void:
            self._filling.start()

    async def stop(self) -> None:
        self._is_void = True
        self._filling.stop()
        await self._follower.stop()

    async def knowledge_at(self, pos: int) -> Knowledge:
        """What is known of rooms as of the log's head `pos`, at a take-over; nothing if that would take long."""
        is_there = self._follower.is_live and await self._follower.wait_for(pos, CATCH_UP_S)
        is_there = is_there and self._follower.position.pos == pos and not self._is_void
        await self.stop()
        return self.knowledge if is_there else Knowledge()

    def _cannot_read(self, error: UnknownFormat) -> None:
        _log.warn("standing by without following the log: {error}", error=error)
        self._is_void = True

    # --- what the log tells ---

    def _subscription(self) -> Subscription:
        return Subscription("a leader's memory", ("event", "alias", "appservice"), self._apply, self._reset)

    def _reset(self, pos: int) -> None:
        self.knowledge.heads.clear()
        self._busy.clear()

    def _apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        heads = self.knowledge.heads
        for one in batch:
            item = items.decode(one.kind, one.body)
            if isinstance(item, items.EventItem):
                self._note(item.room_id, item.sender)
                head = heads.get(item.room_id)
                if head is not None and not follow(head, item):
                    del heads[item.room_id]
                for moved in self.knowledge.readings.values():
                    moved.add(item.room_id)
            elif isinstance(item, items.AliasItem):
                if item.room_id in heads:
                    heads[item.room_id].forget_interest()
            else:
                for head in heads.values():
                    head.forget_interest()

    def _note(self, room_id: str, sender: str) -> None:
        self._busy.setdefault(room_id, Bounded(SENDERS_OF_A_ROOM))[sender] = None
        self._busy.move_to_end(room_id)
        if len(self._busy) > MAXIMUM_ROOMS:
            forgotten, _ = self._busy.popitem(last=False)
            self.knowledge.heads.pop(forgotten, None)

    # --- reading ---

    async def _fill_on(self) -> None:
        while True:
            try:
                await self.fill()
            except DatabaseError as error:
                _log.warn("cannot read the heads of busy rooms: {error}", error=error)
            await pause(self._clock, INTERVAL_S)

    async def fill(self) -> None:
        """Read the heads that are missing, the busiest rooms' first."""
        while wanted := [room for room in reversed(self._busy) if room not in self.knowledge.heads][:ROOMS_AT_A_TIME]:
            if not await self._fill_some(wanted):
                return

    async def _fill_some(self, room_ids: list[str]) -> bool:
        """Whether any was taken."""
        reading, moved = object(), set[str]()
        self.knowledge.readings[reading] = moved
        try:
            read = Knowledge()
            loader = Loader(read, self._db, self._server_name)
            await loader.load_services()
            await loader.load_heads(room_ids)
            await loader.load([self._needs(room_id) for room_id in room_ids if room_id in read.heads])
            # Whatever of these rooms the reading may have seen has been heard of by then.
            await self._follower.wait_for(await log.head(self._db), INTERVAL_S)
        finally:
            del self.knowledge.readings[reading]
        taken = {room_id: head for room_id, head in read.heads.items() if room_id not in moved}
        self.knowledge.heads.update(taken)
        for room_id in room_ids:
            if room_id not in read.heads:
                self._busy.pop(room_id, None)
        return bool(taken)

    def _needs(self, room_id: str) -> Needs:
        members = [("m.room.member", sender) for sender in self._busy.get(room_id, ())]
        return Needs(room_id, [auth_rules.CREATE_KEY, auth_rules.POWER_LEVELS_KEY, *members])


def follow(head: RoomHead, item: items.EventItem) -> bool:
    """Move a head on by an item; false if the item does not say all that is needed, so the head is void."""
    event = Event.from_pdu(orjson.loads(item.json), head.version, item.event_id)
    if set(event.prev_event_ids) != set(head.extremities):
        return False
    head.extremities, head.depth = (event.event_id,), event.depth
    for change in item.changes:
        key = (change.type, change.state_key)
        if change.new_event_id is None:
            head.state[key] = None
        elif change.new_event_id == event.event_id:
            head.state[key] = event
        else:
            head.state.pop(key, None)
        if change.type == "m.room.member":
            _count(head, change)
    for key in [key for key, entry in head.state.items() if entry is not None and entry.event_id in item.redacted]:
        del head.state[key]
    if item.changes:
        head.state_pos = item.order_pos
    head.changes += 1
    return True


def _count(head: RoomHead, change: items.StateChange) -> None:
    difference = (change.new_membership == "join") - (change.old_membership == "join")
    if difference:
        server = domain_of(change.state_key)
        head.servers[server] = head.servers.get(server, 0) + difference
        head.joined += difference
        head.causes = None  # who of the services is interested is read anew
