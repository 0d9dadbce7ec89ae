"""Listening to one room without being in it: its events as they come, judged one by one as any other reading is.

Who waits is known by room, and is woken by each event of it; then the database is read. Whoever waits with a token that
is revoked is told so.

Spec: client-server API, #room-previews.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from twisted.internet.defer import Deferred

from hs_common.matrix.errors import limit_exceeded, unknown, unknown_token
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import Reader as RoomReader
from hs_common.reading.room_view import RoomView, RoomViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.replication import items
from hs_common.replication.clock import Clock
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.subscription import Subscription
from hs_common.storage import room_events
from hs_common.storage.queries import Queries
from hs_workers.sync.parameters import Reader

KINDS: Final = ("event", "sessions", "user")
MAXIMUM_EVENTS: Final = 100
"""Events of one answer; the next question gets the next ones."""
MAXIMUM_PEEKING: Final = 10_000
"""Long polls of one worker."""
MAXIMUM_OF_A_USER: Final = 20
"""A client listens to the room that it shows; with more, one user could have each event of a room read at will."""
RETRY_AFTER_MS: Final = 5_000


class _Waiter:
    __slots__ = ("reader", "room_id", "wake")

    def __init__(self, room_id: str, reader: Reader) -> None:
        self.room_id = room_id
        self.reader = reader
        self.wake: Deferred[bool] = Deferred()


class Peeking:
    """Answers GET /events with a room id."""

    def __init__(self, db: Queries, clock: Clock, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock
        self._views = RoomViews(db)
        self._events = ClientEvents(db, self._views, now_ms)
        self._waiting: dict[str, set[_Waiter]] = {}
        self.count = 0
        self._of_user: dict[str, int] = {}
        self._ended = False

    def subscription(self) -> Subscription:
        """For the follower."""
        return Subscription("peeking", KINDS, self._apply, lambda position: self._wake_all(again=True))

    def end(self) -> None:
        """Answers all who wait."""
        self._ended = True
        self._wake_all(again=False)

    async def events(self, reader: Reader, room_id: str, start: RoomToken | None, timeout_s: float) -> dict[str, Any]:
        """The events after a place, as soon as there are any. 403 `M_FORBIDDEN` for who may not read the room."""
        deadline = self._clock.seconds() + timeout_s
        room_reader = RoomReader(reader.user_id, reader.device_id)
        while True:
            # Waits from before it reads, so that nothing happens unseen in between.
            waiter = self._add(room_id, reader)
            try:
                view = await self._views.readable(room_id, room_reader)
                begin = RoomToken(view.upto) if start is None else start
                found, end = await self._read(view, begin)
                left = deadline - self._clock.seconds()
                if found or left <= 0 or self._ended:
                    chunk = orjson.Fragment(b"[" + b",".join(found) + b"]")
                    return {"start": str(begin), "end": str(end), "chunk": chunk}
                start = end
                if not await self._wait(waiter, left):
                    return {"start": str(begin), "end": str(end), "chunk": []}
            finally:
                self._remove(waiter)

    async def _read(self, view: RoomView, begin: RoomToken) -> tuple[list[bytes], RoomToken]:
        """The events that the reader may see, and up to where was looked."""
        high = (view.upto, 0)
        rows = await room_events.page(
            self._db,
            view.room_id,
            (begin.order_pos, begin.order_sub),
            high,
            forwards=True,
            limit=MAXIMUM_EVENTS,
            senders=None,
        )
        events = [StoredEvent(view.version, row) for row in rows]
        await self._views.learn(view, events)
        shown = [event for event in events if view.shows(event)]
        end = events[-1].place if len(events) == MAXIMUM_EVENTS else max(begin, RoomToken(*high))
        return await self._events.encoded(view, shown), end

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def _wait(self, waiter: _Waiter, seconds: float) -> bool:
        """Whether something may have happened before the time was up."""
        timer = self._clock.callLater(seconds, _fire, waiter, False)
        try:
            return await waiter.wake
        finally:
            if timer.active():
                timer.cancel()

    def _add(self, room_id: str, reader: Reader) -> _Waiter:
        if self.count >= MAXIMUM_PEEKING:
            raise unknown("Too many clients wait at this server", 503)
        mine = self._of_user.get(reader.user_id, 0)
        if mine >= MAXIMUM_OF_A_USER:
            raise limit_exceeded(RETRY_AFTER_MS)
        self._of_user[reader.user_id] = mine + 1
        waiter = _Waiter(room_id, reader)
        self._waiting.setdefault(room_id, set()).add(waiter)
        self.count += 1
        return waiter

    def _remove(self, waiter: _Waiter) -> None:
        self.count -= 1
        user_id = waiter.reader.user_id
        self._of_user[user_id] -= 1
        if not self._of_user[user_id]:
            del self._of_user[user_id]
        waiters = self._waiting[waiter.room_id]
        waiters.discard(waiter)
        if not waiters:
            del self._waiting[waiter.room_id]
        if not waiter.wake.called:
            waiter.wake.callback(False)
        waiter.wake.addErrback(lambda failure: None)  # revoked while it did not wait any more

    def _apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        if not self._waiting:
            return
        for one in batch:
            item = items.decode(one.kind, one.body)
            if isinstance(item, items.EventItem):
                for waiter in list(self._waiting.get(item.room_id, ())):
                    _fire(waiter, True)
            elif isinstance(item, items.SessionsItem):
                self._revoke(item.user_id, frozenset(item.token_hashes))
            elif isinstance(item, items.UserItem) and (item.deactivated or item.locked):
                self._revoke(item.user_id, None)

    def _revoke(self, user_id: str, token_hashes: frozenset[bytes] | None) -> None:
        for waiter in self._all():
            is_his = waiter.reader.user_id == user_id and not waiter.wake.called
            if is_his and (token_hashes is None or waiter.reader.token_hash in token_hashes):
                waiter.wake.errback(unknown_token())

    def _wake_all(self, *, again: bool) -> None:
        for waiter in self._all():
            _fire(waiter, again)

    def _all(self) -> list[_Waiter]:
        return [waiter for waiters in self._waiting.values() for waiter in waiters]


def _fire(waiter: _Waiter, again: bool) -> None:
    if not waiter.wake.called:
        waiter.wake.callback(again)
