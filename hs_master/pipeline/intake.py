"""Where calls wait until they can be decided without waiting: a queue for each room or thing, read for in advance.

Per-room order: calls of one origin about a room are taken as they came, and while a call that reads first (a serial
one) is under way, no other about the same thing is. No room holds up another: what is not in memory
yet makes only its own queue wait; and no origin holds up another: queues take turns (`lanes`). Bounded: beyond the
limits a call is refused at once, so the caller can say "later". A call whose caller has given up is dropped. Calls that
may have ended a master are kept apart from the others, which need not wait for their rehearsal.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError, unknown
from hs_common.replication.calls import Answer, Call
from hs_common.replication.link_interface import unknown_outcome
from hs_common.storage.queries import DatabaseError, Queries
from hs_master.decisions.decider import Deciders, LoadsTogether, RoomDecider
from hs_master.log_store.types import AnswerKind
from hs_master.pipeline.costs import Costs
from hs_master.pipeline.lanes import ORIGIN_TURN_US, Lanes
from hs_master.pipeline.pending import DEFAULT_TERMS, CallQueue, PendingCall, Terms
from hs_master.rooms.head import NotLoaded
from hs_master.rooms.needs import Loader
from hs_master.step import Knowledge, Step

# A batch ends at this many calls, at so many µs of deciding or at so many bytes, and takes at most so many of one queue
# and of one origin: everybody gets a turn in each transaction. Larger batches cost no less for each call.
MAXIMUM_BATCH: Final = 500
MAXIMUM_BATCH_US: Final = 20_000
MAXIMUM_BATCH_BYTES: Final = 2 * 1024 * 1024
MAXIMUM_OF_A_QUEUE: Final = 64
MAXIMUM_OF_AN_ORIGIN: Final = 256
# Calls that may wait in all, by count, by bytes, and by the time that they take at the rate of lately.
MAXIMUM_WAITING: Final = 10_000
MAXIMUM_WAITING_BYTES: Final = 64 * 1024 * 1024
MAXIMUM_WAITING_S: Final = 5.0
MAXIMUM_SUSPECTED: Final = 1_000  # more are forgotten: each costs at most one more master
ALWAYS_TAKEN: Final = 500  # so many may wait whatever the rate: a short stop of the database is no flood
ALWAYS_OF_AN_ORIGIN: Final = (
    8  # so few of one origin wait whatever the rate: their turn comes soon in any flood of others
)

_log = Logger()


class Busy(Exception):
    """Too much waits already; ask again later."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(retry_after_ms)
        self.retry_after_ms = retry_after_ms


class _Batch:
    """What has been taken for a transaction so far."""

    def __init__(self) -> None:
        self.calls: list[PendingCall] = []
        self.microseconds = 0.0
        self.size_bytes = 0
        self.of_queue: Counter[str] = Counter()
        self.of_origin: Counter[str] = Counter()

    def has_room(self) -> bool:
        return (
            len(self.calls) < MAXIMUM_BATCH
            and self.microseconds < MAXIMUM_BATCH_US
            and self.size_bytes < MAXIMUM_BATCH_BYTES
        )

    def may_take(self, call: PendingCall, queue: CallQueue) -> bool:
        """Whether it fits in with the others."""
        if self.of_queue[queue.name] >= MAXIMUM_OF_A_QUEUE or self.of_origin[queue.origin] >= MAXIMUM_OF_AN_ORIGIN:
            return False
        return not self.calls or call.is_suspect == self.calls[0].is_suspect

    def add(self, call: PendingCall, queue: CallQueue, microseconds: float) -> None:
        self.calls.append(call)
        self.microseconds += microseconds
        self.size_bytes += call.terms.size_bytes
        self.of_queue[queue.name] += 1
        self.of_origin[queue.origin] += 1


class Intake:
    """The waiting calls of a writer."""

    def __init__(
        self,
        deciders: Deciders,
        loader: Loader,
        knowledge: Knowledge,
        db: Queries,
        *,
        wake: Callable[[], None],
        background: Callable[[str, Coroutine[Any, Any, None]], None],
        seconds: Callable[[], float],
    ) -> None:
        """`wake` is called when something can be taken; `background` runs a coroutine that nobody waits for."""
        self._deciders = deciders
        self._loader = loader
        self._knowledge = knowledge
        self._db = db
        self._wake = wake
        self._background = background
        self._seconds = seconds
        self._queues: dict[str, CallQueue] = {}
        self._lanes = Lanes()
        self._by_key: dict[bytes, PendingCall] = {}
        self._held: dict[str, CallQueue] = {}  # things about which a serial call is under way, and its queue
        self._blocked: dict[str, list[CallQueue]] = {}  # other queues about these things
        self._together: dict[type[Call], list[CallQueue]] = {}  # to be read for when a batch has been taken
        self._suspected: set[tuple[type[Call], str]] = set()  # kinds of calls, and for whom
        self._closed: Exception | None = None
        self.costs = Costs()
        self._of_origin: Counter[str] = Counter()
        self.waiting = 0
        self.waiting_bytes = 0

    def submit(
        self, call: Call, key: bytes | None, kind: AnswerKind, repeated: bool, terms: Terms = DEFAULT_TERMS
    ) -> "Deferred[Answer]":
        """Queue a call. The same key while the first is under way waits for the first one's answer. Raises Busy."""
        if self._closed is not None:
            raise self._closed
        same = self._by_key.get(key) if key is not None else None
        if same is not None and not same.done:
            same.deadline = max(same.deadline, self._seconds() + terms.time_left_s)
            return same.wait()
        self._check_not_busy(terms)
        decider = self._deciders.room.get(type(call))
        if decider is not None:
            name = f"{decider.queue(call)}\n{terms.lane}\n{terms.origin}"
        else:
            name = self._deciders.serial[type(call)].queue(call)  # everybody's: one after the other
        may_be_repeated = repeated or kind is AnswerKind.CLIENT
        pending = PendingCall(call, name, key, kind, may_be_repeated, terms, self._seconds())
        pending.is_suspect |= (type(call), terms.origin) in self._suspected
        if key is not None:
            self._by_key[key] = pending
        self._queue(pending).waiting.append(pending)
        self._count(pending)
        self._activate(name)
        return pending.wait()

    def suspect(self, fatal: PendingCall) -> None:
        """The call ends masters. Whoever made it may ask again, in other words: his calls of the kind are suspects."""
        if len(self._suspected) >= MAXIMUM_SUSPECTED:
            self._suspected.clear()
        self._suspected.add((type(fatal.call), fatal.terms.origin))

    def _check_not_busy(self, terms: Terms) -> None:
        seconds = self.waiting * self.costs.seconds_each
        if (
            self.waiting >= MAXIMUM_WAITING
            or self.waiting_bytes + terms.size_bytes > MAXIMUM_WAITING_BYTES
            or (
                self.waiting >= ALWAYS_TAKEN
                and seconds > MAXIMUM_WAITING_S
                and self._of_origin[terms.origin] >= ALWAYS_OF_AN_ORIGIN
            )
        ):
            raise Busy(round(1000 * min(max(seconds / 2, 0.5), MAXIMUM_WAITING_S)))

    @property
    def is_active(self) -> bool:
        """Whether `take` has queues to look at."""
        return len(self._lanes) > 0

    def take(self) -> list[PendingCall]:
        """The next batch: ready calls of all queues, in turn. Queues that lack something are read for meanwhile."""
        batch = _Batch()
        parked: list[CallQueue] = []  # not for this batch
        while batch.has_room() and (queue := self._lanes.pop()) is not None:
            assert isinstance(queue, CallQueue)
            before = batch.microseconds
            if self._take_from(queue, batch):
                parked.append(queue)
            else:
                self._activate(queue.name)
            self._lanes.spend(queue, batch.microseconds - before)
        for queue in parked:
            self._lanes.add(queue)
        together, self._together = self._together, {}
        for kind, queues in together.items():
            self._background("read for queues of calls", self._read_together(kind, queues))
        return batch.calls

    def _take_from(self, queue: CallQueue, batch: _Batch) -> bool:
        """Take what is ready and fits, for about one turn; whether the rest does not fit into this batch."""
        holder = self._held.get(queue.about)
        if holder is not None and holder is not queue:
            self._blocked.setdefault(queue.about, []).append(queue)
            queue.busy = True
            return False
        until_us = batch.microseconds + ORIGIN_TURN_US
        while queue.waiting and batch.microseconds < until_us and batch.has_room():
            call = queue.waiting[0]
            if self._seconds() >= call.deadline:
                self._give_up(queue)
                continue
            if not batch.may_take(call, queue):
                return True
            if not self.is_ready(call):
                self._read_for(queue)
                return False
            batch.add(queue.waiting.popleft(), queue, self.costs.of(type(call.call)))
            if type(call.call) in self._deciders.serial:
                queue.busy = True
                return False
        return False

    def _give_up(self, queue: CallQueue) -> None:
        """Nobody waits for the first call of the queue any more: it is not done."""
        call = queue.waiting.popleft()
        call.fail(unknown_outcome())
        self._forget(call)
        self._let_go(queue)
        if not queue.waiting and not queue.busy:
            self._queues.pop(queue.name, None)

    def _count(self, call: PendingCall) -> None:
        """The call waits."""
        self.waiting += 1
        self.waiting_bytes += call.terms.size_bytes
        self._of_origin[call.terms.origin] += 1

    def _forget(self, call: PendingCall) -> None:
        """The call waits no longer."""
        self.waiting -= 1
        self.waiting_bytes -= call.terms.size_bytes
        origin = call.terms.origin
        self._of_origin[origin] -= 1
        if self._of_origin[origin] <= 0:
            del self._of_origin[origin]
        if call.key is not None and call.done and self._by_key.get(call.key) is call:
            del self._by_key[call.key]

    def is_ready(self, call: PendingCall) -> bool:
        """Whether all that deciding on the call needs is in memory."""
        decider = self._deciders.room.get(type(call.call))
        if decider is None:
            return call.loaded is not None
        if self._knowledge.services is None or self._lacks_heads(call, decider):
            return False
        return not any(self._loader.missing(need) for need in decider.needs(call.call, self._knowledge))

    def _lacks_heads(self, call: PendingCall, decider: RoomDecider[Any]) -> bool:
        heads = self._knowledge.heads
        return any(room not in heads and room not in call.unknown_rooms for room in decider.rooms(call.call))

    def _read_for(self, queue: CallQueue) -> None:
        queue.busy = True
        kind = type(queue.waiting[0].call)
        if kind in self._deciders.serial:
            self._held[queue.about] = queue
        if isinstance(self._deciders.serial.get(kind), LoadsTogether):
            self._together.setdefault(kind, []).append(queue)
        else:
            calls = {queue: list(queue.waiting)[:MAXIMUM_OF_A_QUEUE]}
            self._background("read for a queue of calls", self._read(calls, self._load(calls[queue])))

    async def _read_together(self, kind: type[Call], queues: list[CallQueue]) -> None:
        """For the first call of each."""
        calls = {queue: [queue.waiting[0]] for queue in queues if queue.waiting}
        decider = self._deciders.serial[kind]
        assert isinstance(decider, LoadsTogether), "only for these"
        await self._read(calls, self._load_together(decider, [first for (first,) in calls.values()]))

    async def _load_together(self, decider: LoadsTogether, calls: list[PendingCall]) -> None:
        await self._loader.load_services()
        loaded = await decider.load_many([call.call for call in calls], self._db)
        for call, found in zip(calls, loaded, strict=True):
            call.loaded = (found,)

    async def _read(self, calls: dict[CallQueue, list[PendingCall]], loading: Awaitable[None]) -> None:
        refused: MatrixError | None = None
        try:
            await loading
        except DatabaseError as error:
            _log.warn("cannot read what calls need: {error}", error=error)
            refused = unknown("The database cannot be read at the moment", 503)
        except Exception:
            _log.failure("reading what calls need failed")
            refused = unknown("The server failed to read what this needs; the failure is logged")
        for queue, waiting in calls.items():
            if refused is not None:
                self._drop(queue, waiting, refused)
                self._let_go(queue)
            queue.busy = False
            self._activate(queue.name)

    async def _load(self, calls: list[PendingCall]) -> None:
        await self._loader.load_services()
        first = calls[0]
        serial = self._deciders.serial.get(type(first.call))
        if serial is not None:
            # A tuple, since what was read may itself be None.
            first.loaded = (await serial.load(first.call, self._db),)
            return
        room_calls = [(call, decider) for call in calls if (decider := self._deciders.room.get(type(call.call)))]
        rooms = {call: decider.rooms(call.call) for call, decider in room_calls}
        unknown_rooms = await self._loader.load_heads(room for named in rooms.values() for room in named)
        for call, named in rooms.items():
            call.unknown_rooms.update(unknown_rooms.intersection(named))
        await self._loader.load(
            need for call, decider in room_calls for need in decider.needs(call.call, self._knowledge)
        )

    def decide(self, call: PendingCall, step: Step) -> Answer:
        """Run the call's decider. Raises MatrixError, NotLoaded."""
        room = self._deciders.room.get(type(call.call))
        if room is not None:
            if self._lacks_heads(call, room):
                raise NotLoaded("a head that was there when the call was taken was dropped meanwhile")
            return room.decide(call.call, step)
        return self._deciders.serial[type(call.call)].decide(call.call, step, call.loaded[0])

    def again(self, call: PendingCall) -> None:
        """Put a call back, first of its queue: what it needs is not in memory any more."""
        call.loaded = None
        self._queue(call).waiting.appendleft(call)
        self._count(call)
        self._activate(call.queue)

    def release(self, calls: list[PendingCall]) -> None:
        """The calls are done with (answered or put back): the next of their queues may be taken."""
        for call in calls:
            self._forget(call)
            queue = self._queues.get(call.queue)
            if queue is None:
                continue
            if type(call.call) in self._deciders.serial:
                queue.busy = False
                if call.done:  # else it was put back: with the room as it is now it will be taken
                    self._let_go(queue)
            if queue.waiting:
                self._activate(queue.name)
            elif not queue.busy:
                del self._queues[queue.name]
                self._lanes.discard(queue)

    def close(self, error: Exception) -> None:
        """Refuse everything that waits and everything that comes, with this error."""
        self._closed = error
        waiting = [call for queue in self._queues.values() for call in queue.waiting]
        for queue in self._queues.values():
            queue.waiting.clear()
        self._lanes.clear()
        self._held.clear()
        self._blocked.clear()
        self._of_origin.clear()
        self.waiting = self.waiting_bytes = 0
        for call in waiting:  # last: who is refused may close this again, at once
            call.fail(error)

    def _drop(self, queue: CallQueue, calls: list[PendingCall], error: MatrixError) -> None:
        for call in calls:
            if call in queue.waiting:
                queue.waiting.remove(call)
                call.fail(error)
                self._forget(call)

    def _let_go(self, queue: CallQueue) -> None:
        """The serial call of the queue is done with: others about the same thing may go on."""
        if self._held.get(queue.about) is queue:
            del self._held[queue.about]
            for blocked in self._blocked.pop(queue.about, ()):
                blocked.busy = False
                self._activate(blocked.name)

    def _queue(self, call: PendingCall) -> CallQueue:
        queue = self._queues.get(call.queue)
        if queue is None:
            about = call.queue.partition("\n")[0]
            queue = self._queues[call.queue] = CallQueue(call.queue, call.terms.lane, call.terms.origin, about)
        return queue

    def _activate(self, name: str) -> None:
        queue = self._queues.get(name)
        if queue is not None and queue.waiting and not queue.busy:
            self._lanes.add(queue)
            self._wake()
