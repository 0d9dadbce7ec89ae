"""Where calls wait until they can be decided without waiting: a queue for each room or thing, read for in advance.

Per-room order: calls of one queue are taken as they came. No room holds up another: what is not in memory yet makes
only its own queue wait. Bounded: beyond the limits a call is refused at once, so the caller can say "later".
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError, unknown
from hs_common.replication.calls import Answer, Call
from hs_common.storage.queries import DatabaseError, Queries
from hs_master.decisions.decider import Deciders, RoomDecider
from hs_master.log_store.types import AnswerKind
from hs_master.pipeline.pending import CallQueue, PendingCall
from hs_master.rooms.head import NotLoaded
from hs_master.rooms.needs import Loader
from hs_master.step import Knowledge, Step

# A batch ends at this many calls, some 20 ms of deciding, and takes at most so many of one queue: everybody gets a turn
# in each transaction. Larger batches cost no less for each call.
MAXIMUM_BATCH: Final = 200
MAXIMUM_OF_A_QUEUE: Final = 64
# Calls that may wait in all: at some thousand a second, about five seconds of work.
MAXIMUM_WAITING: Final = 10_000

_log = Logger()


class Busy(Exception):
    """Too much waits already; ask again later."""


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
    ) -> None:
        """`wake` is called when something can be taken; `background` runs a coroutine that nobody waits for."""
        self._deciders = deciders
        self._loader = loader
        self._knowledge = knowledge
        self._db = db
        self._wake = wake
        self._background = background
        self._queues: dict[str, CallQueue] = {}
        self._active: OrderedDict[str, CallQueue] = OrderedDict()
        self._by_key: dict[bytes, PendingCall] = {}
        self._closed: Exception | None = None
        self.waiting = 0

    def submit(self, call: Call, key: bytes | None, kind: AnswerKind, repeated: bool) -> "Deferred[Answer]":
        """Queue a call. The same key while the first is under way waits for the first one's answer. Raises Busy."""
        if self._closed is not None:
            raise self._closed
        same = self._by_key.get(key) if key is not None else None
        if same is not None and not same.done:
            return same.wait()
        if self.waiting >= MAXIMUM_WAITING:
            raise Busy
        decider = self._deciders.room.get(type(call)) or self._deciders.serial[type(call)]
        name = decider.queue(call)
        pending = PendingCall(call, name, key, kind, repeated or kind is AnswerKind.CLIENT)
        if key is not None:
            self._by_key[key] = pending
        self._queue(name).waiting.append(pending)
        self.waiting += 1
        self._activate(name)
        return pending.wait()

    @property
    def is_active(self) -> bool:
        """Whether `take` has queues to look at."""
        return bool(self._active)

    def take(self) -> list[PendingCall]:
        """The next batch: ready calls of all queues, in turn. Queues that lack something are read for meanwhile."""
        taken: list[PendingCall] = []
        for name in list(self._active):
            if len(taken) >= MAXIMUM_BATCH:
                break
            queue = self._active.pop(name)
            self._take_from(queue, taken)
        return taken

    def _take_from(self, queue: CallQueue, taken: list[PendingCall]) -> None:
        for _ in range(MAXIMUM_OF_A_QUEUE):
            if not queue.waiting:
                break
            call = queue.waiting[0]
            if not self._is_ready(call):
                self._read_for(queue)
                return
            taken.append(queue.waiting.popleft())
            if type(call.call) in self._deciders.serial:
                queue.busy = True
                return
        self._activate(queue.name)

    def _is_ready(self, call: PendingCall) -> bool:
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
        self._background("read for a queue of calls", self._read(queue))

    async def _read(self, queue: CallQueue) -> None:
        calls = list(queue.waiting)[:MAXIMUM_OF_A_QUEUE]
        try:
            await self._load(calls)
        except DatabaseError as error:
            _log.warn("cannot read what calls need: {error}", error=error)
            self._drop(queue, calls, unknown("The database cannot be read at the moment", 503))
        except Exception:
            _log.failure("reading what calls need failed")
            self._drop(queue, calls, unknown("The server failed to read what this needs; the failure is logged"))
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
        queue = self._queue(call.queue)
        queue.waiting.appendleft(call)
        self.waiting += 1
        self._activate(call.queue)

    def release(self, calls: list[PendingCall]) -> None:
        """The calls are done with (answered or put back): the next of their queues may be taken."""
        for call in calls:
            if call.key is not None and call.done and self._by_key.get(call.key) is call:
                del self._by_key[call.key]
            self.waiting -= 1
            queue = self._queues.get(call.queue)
            if queue is None:
                continue
            if type(call.call) in self._deciders.serial:
                queue.busy = False
            if queue.waiting:
                self._activate(queue.name)
            elif not queue.busy:
                del self._queues[queue.name]
                self._active.pop(queue.name, None)

    def close(self, error: Exception) -> None:
        """Refuse everything that waits and everything that comes, with this error."""
        self._closed = error
        for queue in self._queues.values():
            for call in queue.waiting:
                call.fail(error)
            queue.waiting.clear()
        self._active.clear()
        self.waiting = 0

    def _drop(self, queue: CallQueue, calls: list[PendingCall], error: MatrixError) -> None:
        for call in calls:
            if call in queue.waiting:
                queue.waiting.remove(call)
                call.fail(error)
                self.waiting -= 1
                if call.key is not None:
                    self._by_key.pop(call.key, None)

    def _queue(self, name: str) -> CallQueue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = CallQueue(name)
        return queue

    def _activate(self, name: str) -> None:
        queue = self._queues.get(name)
        if queue is not None and queue.waiting and not queue.busy:
            self._active[name] = queue
            self._wake()
