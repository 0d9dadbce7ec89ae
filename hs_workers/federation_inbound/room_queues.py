"""Events that were staged, worked off room by room: one bundle of a room at a time, many rooms at once.

A process works for the shards of rooms that it holds, so no room is fetched for by two. Rows stay until the master has
answered, so a crash or a change of hands loses nothing, and what is given to the master twice is known by its id.
Events that this process staged itself are handed over in memory; others, and those that were left over, are read.

Spec: server-server API, #checks-performed-on-receipt-of-a-pdu.
"""

from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from hs_common.federation import accounts as prices
from hs_common.federation.accounts import Accounts
from hs_common.federation.completing import Completing
from hs_common.federation.fetching import Room
from hs_common.federation.policy_checks import PolicyChecks
from hs_common.matrix import canonical_json
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of
from hs_common.matrix.limits import MAX_EVENT_BYTES
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.server_acl import SERVER_ACL
from hs_common.process.ongoing import Ongoing
from hs_common.process.shares import ShareKeeper, shard_of
from hs_common.replication.clock import Clock, pause
from hs_common.replication.federation_calls import Verdict
from hs_common.storage import federated_rooms, inbound_pdus
from hs_common.storage.inbound_pdus import StagedPdu
from hs_common.storage.queries import DatabaseError, Queries
from hs_workers.federation_inbound.in_vain import InVain
from hs_workers.federation_inbound.room_admission import RoomAdmission
from hs_workers.federation_inbound.staging import Staging

DUTY: Final = "inbound"
BUNDLE_EVENTS: Final = 100
"""Of a room at a time; what comes meanwhile waits for the next."""
MEMORY_EVENTS: Final = 500
"""Of a room handed over in memory; beyond, the rows are read when their turn comes."""
ROOMS_AT_ONCE: Final = 200
"""Rooms worked for at the same time; most of them wait for other servers."""
ROOMS_OF_ORIGIN: Final = 50
"""Of those, rooms that one server's events have begun: as many as one transaction has. Who answers slowly on purpose,
in however many rooms, leaves the others to others."""
ALONE_LOOK_S: Final = 5.0
LOOK_S: Final = 0.25
"""How soon a process sees what another one has staged for its rooms."""
ATTEMPTS: Final = 6
RETRY_S: Final = 15.0
"""The first wait of an event that could not be completed; it grows fourfold, to some hours in all."""
JOINING_RETRY_S: Final = 1.0

_PRICES: Final = {"rejected": prices.REJECTED, "soft_failed": prices.SOFT_FAILED, "known": prices.REPEATED}

_Entry = tuple[str, ReceivedPdu, int]  # origin, event, attempts
_log = Logger()


class OutOfBand(Protocol):
    """Applies memberships of rooms that this server is not in."""

    async def apply(self, origin: str, pdu: dict[str, Any]) -> str | None:
        """Why the event is not for us, or None."""


@dataclass(slots=True)
class _Queue:
    """What waits for a room. `unread`: rows may be there that are not in `events`."""

    origin: str
    events: deque[_Entry] = field(default_factory=deque)
    unread: bool = False
    under_way: int = 0

    @property
    def in_hand(self) -> int:
        """Rows that need not be read."""
        return len(self.events) + self.under_way


class RoomQueues:
    """The work of one process. `background` starts what nobody waits for; `on_acl` is told of rooms whose access
    control list may have changed."""

    def __init__(
        self,
        db: Queries,
        staging: Staging,
        admission: RoomAdmission,
        completing: Completing,
        policies: PolicyChecks,
        clock: Clock,
        server_name: str,
        is_alone: Callable[[], bool],
        background: Callable[[str, Coroutine[Any, Any, object]], None],
        on_acl: Callable[[str], None],
        out_of_band: OutOfBand,
        accounts: Accounts,
    ) -> None:
        self._accounts = accounts
        self._out_of_band = out_of_band
        self._on_acl = on_acl
        self._db = db
        self._staging = staging
        self._admission = admission
        self._completing = completing
        self._policies = policies
        self._clock = clock
        self._server_name = server_name
        self._is_alone = is_alone
        self._background = background
        self._queues: dict[str, _Queue] = {}  # of rooms that are worked for
        self._begun_by: Counter[str] = Counter()  # how many of those, by the origin of their first events
        self._in_vain = InVain()
        self._left_over = False  # whether rooms wait because too many are worked for
        self._keeper: ShareKeeper | None = None
        self._counted = float("-inf")
        self.backlog: tuple[int, float] = (0, 0.0)
        """Events that wait for the shares held here, and the age of the oldest in seconds; some seconds old."""
        self._looking = Ongoing(clock, "looking for events that were left over", self._look_on)

    def __len__(self) -> int:
        return len(self._queues)

    def start(self, keeper: ShareKeeper) -> None:
        self._keeper = keeper
        self._looking.start()

    def stop(self) -> None:
        """Start nothing more."""
        self._keeper = None
        self._looking.stop()

    def offer(self, room_id: str, origin: str, events: Sequence[ReceivedPdu]) -> None:
        """Events that this process has just staged."""
        if not self._may_work(room_id):
            return
        queue = self._queues.get(room_id)
        if queue is not None:
            self._add(queue, origin, events)
        elif self._may_begin(origin):
            queue = _Queue(origin)
            self._add(queue, origin, events)
            self._begin(room_id, queue)
        else:
            self._left_over = True  # the rows are found later

    def _may_begin(self, origin: str) -> bool:
        return len(self._queues) < ROOMS_AT_ONCE and self._begun_by[origin] < ROOMS_OF_ORIGIN

    def _begin(self, room_id: str, queue: _Queue) -> None:
        self._queues[room_id] = queue
        self._begun_by[queue.origin] += 1
        self._background("take in events", self._work(room_id, queue))

    @staticmethod
    def _add(queue: _Queue, origin: str, events: Sequence[ReceivedPdu]) -> None:
        if queue.unread or len(queue.events) + len(events) > MEMORY_EVENTS:
            queue.unread = True  # in order: what comes later is read later
        else:
            queue.events.extend((origin, event, 0) for event in events)

    def _may_work(self, room_id: str) -> bool:
        keeper = self._keeper
        return keeper is not None and shard_of(room_id) in keeper.held and keeper.may_start()

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
                await self._count()
            except DatabaseError as error:
                _log.warn("events that wait cannot be looked for: {error}", error=error)
            await pause(self._clock, ALONE_LOOK_S if self._is_alone() else LOOK_S)

    async def look(self) -> None:
        """Begin with rooms for which rows wait."""
        keeper = self._keeper
        if keeper is None or not keeper.held or not keeper.may_start():
            return
        free = ROOMS_AT_ONCE - len(self._queues)
        if free <= 0:
            return
        await self._staging.flush()
        full = [origin for origin, rooms in self._begun_by.items() if rooms >= ROOMS_OF_ORIGIN]
        waiting = await inbound_pdus.waiting_rooms(self._db, sorted(keeper.held), free + len(self._queues), full)
        for room_id, events, origin in waiting:
            queue = self._queues.get(room_id)
            if queue is not None:
                queue.unread = queue.unread or events > queue.in_hand
            elif not self._may_begin(origin):
                self._left_over = True
            elif self._may_work(room_id):
                self._begin(room_id, _Queue(origin, unread=True))

    async def _count(self) -> None:
        keeper, now = self._keeper, self._clock.seconds()
        if keeper is not None and now - self._counted >= ALONE_LOOK_S:
            self._counted = now
            self.backlog = await inbound_pdus.backlog(self._db, sorted(keeper.held))

    async def _work(self, room_id: str, queue: _Queue) -> None:
        """Bundle after bundle, until nothing waits."""
        try:
            while self._may_work(room_id) and await self._one_bundle(room_id, queue):
                pass
        except DatabaseError as error:
            _log.warn("{room} waits for the database: {error}", room=room_id, error=error)
        except MatrixError as error:
            _log.warn("{room} waits for the master: {error}", room=room_id, error=error)
        finally:
            del self._queues[room_id]
            self._ended(queue.origin)

    def _ended(self, origin: str) -> None:
        self._begun_by[origin] -= 1
        if not self._begun_by[origin]:
            del self._begun_by[origin]
        if self._left_over:
            self._left_over = False
            self._background("begin with what was left over", self._look_now())

    async def _look_now(self) -> None:
        try:
            await self.look()
        except DatabaseError as error:
            _log.warn("events that wait cannot be looked for: {error}", error=error)

    async def _one_bundle(self, room_id: str, queue: _Queue) -> bool:
        if not queue.events and queue.unread:
            queue.unread = False
            await self._read(room_id, queue)
        if not queue.events:
            return False
        bundle = [queue.events.popleft() for _ in range(min(BUNDLE_EVENTS, len(queue.events)))]
        queue.under_way = len(bundle)
        try:
            await self._take_in(room_id, bundle)
        finally:
            queue.under_way = 0
        return True

    async def _take_in(self, room_id: str, bundle: Sequence[_Entry]) -> None:
        standing = (await self._admission.standings([room_id], self._server_name))[room_id]
        ids = [event.event_id for _, event, _ in bundle]
        if not standing.joined or standing.version is None:
            if not standing.joining:
                for origin, event, _ in bundle:
                    await self._out_of_band.apply(origin, dict(event.event.pdu))
            await self._put_off(room_id, ids, standing.joining)
            return
        room, now = Room(room_id, standing.version), self._clock.seconds()
        resting = {origin: self._in_vain.rests_for_s(room_id, origin, now) for origin in {one[0] for one in bundle}}
        waiting = [one for one in bundle if resting[one[0]]]
        if waiting:
            await self._take_in_from(room, waiting, max(resting.values()))
        if len(waiting) < len(bundle):
            await self._take_in_from(room, [one for one in bundle if not resting[one[0]]], 0.0)
        if any(event.event.type == SERVER_ACL for _, event, _ in bundle):
            self._on_acl(room_id)

    async def _take_in_from(self, room: Room, bundle: Sequence[_Entry], rest_s: float) -> None:
        """With some time to rest nothing is fetched for the events; what needs it waits so long."""
        began, tries = self._clock.seconds(), max(attempts for _, _, attempts in bundle)
        servers = [name for origin, event, _ in bundle for name in (origin, domain_of(event.event.sender))]
        is_our_fault = False
        try:
            events = await self._policies.signed(room, [event for _, event, _ in bundle])
            verdicts = await self._completing.take_in(room, events, servers, may_fetch=not rest_s, tries=tries)
        except (CancelledError, DatabaseError):
            raise
        except Exception as error:
            if isinstance(error, MatrixError) and error.status != 500:
                raise
            _log.failure("events of {room} meet a fault of ours, and wait", room=room.room_id)
            verdicts, is_our_fault = {}, True  # about one of them: the others may pass another time, the room goes on
        undecided = await self._settle(room.room_id, bundle, verdicts, rest_s)
        if not rest_s and not is_our_fault:
            now = self._clock.seconds()
            for origin in {origin for origin, _, _ in bundle}:
                self._in_vain.looked(room.room_id, origin, now - began, now, was_in_vain=origin in undecided)

    async def _put_off(self, room_id: str, event_ids: Sequence[str], is_joining: bool) -> None:
        """Events of a room that this server is not in: kept for as long as it is about to be."""
        if not event_ids:
            return
        if is_joining:
            await inbound_pdus.wait(self._db, room_id, event_ids, JOINING_RETRY_S)
        else:
            self._staging.taken_in(room_id, event_ids)

    async def _settle(
        self, room_id: str, bundle: Sequence[_Entry], verdicts: dict[str, Verdict], rest_s: float
    ) -> set[str]:
        """The origins of events that could not be decided; those wait for `rest_s`, or longer each time."""
        undecided: set[str] = set()
        done: list[str] = []
        again: dict[int, list[str]] = {}
        for origin, event, attempts in bundle:
            verdict = verdicts.get(event.event_id)
            self._account(origin, verdict, rest_s)
            if verdict is not None and verdict.status not in ("missing", "later"):
                done.append(event.event_id)
                continue
            undecided.add(origin)
            if not rest_s and attempts + 1 >= ATTEMPTS:
                _log.warn("{event} in {room} cannot be completed", event=event.event_id, room=room_id)
                done.append(event.event_id)
            else:
                again.setdefault(attempts, []).append(event.event_id)
        if done:
            self._staging.taken_in(room_id, done)
        for attempts, event_ids in again.items():
            if rest_s:
                await inbound_pdus.wait(self._db, room_id, event_ids, rest_s)
            else:
                await inbound_pdus.retry_later(self._db, room_id, event_ids, RETRY_S * 4**attempts)
        return undecided

    def _account(self, origin: str, verdict: Verdict | None, rest_s: float) -> None:
        """Charge the server for what was in vain, and let what was of use pay."""
        if verdict is None:
            return  # a fault of ours
        if verdict.status == "accepted":
            self._accounts.pay(origin, prices.ACCEPTED_PAYS)
        elif verdict.status != "missing":
            self._accounts.charge(origin, _PRICES.get(verdict.status, 0.0))
        elif not rest_s:
            self._accounts.charge(origin, prices.UNDECIDED)

    async def _read(self, room_id: str, queue: _Queue) -> None:
        await self._staging.flush()
        rows = await inbound_pdus.of_room(self._db, room_id, BUNDLE_EVENTS)
        facts = (await federated_rooms.room_facts(self._db, self._server_name, [room_id]))[room_id]
        version = ROOM_VERSIONS.get(facts.version or "")
        if version is None or not facts.joined:
            await self._put_off(room_id, [row.event_id for row in rows], facts.joining is not None)
            return
        queue.unread = len(rows) == BUNDLE_EVENTS
        queue.events.extend((row.origin, _event(row, version), row.attempts) for row in rows)


def _event(row: StagedPdu, version: RoomVersion) -> ReceivedPdu:
    """What was staged has been checked already."""
    return read_pdu(canonical_json.decode(row.encoded, MAX_EVENT_BYTES), version)
