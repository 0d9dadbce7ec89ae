"""Pages of a room's timeline as one reader may see it, in both directions, with a bound on what is looked at.

What a filter, an ignore list or history visibility leaves out is read over. When the bound is met first the page is
short, perhaps empty, and says where to go on. Who reads backwards is shown what other servers have, too.

Spec: client-server API, #pagination, #get_matrixclientv3roomsroomidmessages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hs_common.federation.backfilling import Backfilling
from hs_common.matrix.filters import RoomEventFilter
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.room_view import RoomView, RoomViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_events, room_state
from hs_common.storage.queries import Queries, Row

MAXIMUM_SCANNED: Final = 1_000
"""Events that are looked at for one page. A filter for what is rare would read the whole room."""
SCAN_SIZE: Final = 200
"""Events read at a time once a first page of the size asked for was not enough."""
EVERYTHING: Final = RoomEventFilter()


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the direction they were asked for; `start` is where the page begins, `end` where the next one does,
    None if there is none."""

    events: list[StoredEvent]
    start: RoomToken
    end: RoomToken | None


class Pages:
    """Reads pages."""

    def __init__(self, db: Queries, views: RoomViews, history: Backfilling) -> None:
        self._db = db
        self._views = views
        self._history = history

    async def read(
        self,
        view: RoomView,
        start: RoomToken | None,
        stop: RoomToken | None,
        *,
        forwards: bool,
        limit: int,
        filter: RoomEventFilter = EVERYTHING,
    ) -> Page:
        """At most `limit` events from `start` to `stop`; None is the one or other end of what the reader may see."""
        first, last = view.visible_positions
        floor, ceiling = RoomToken(max(first - 1, 0)), RoomToken(max(min(last, view.upto), 0))
        begin = start or (floor if forwards else ceiling)
        if forwards:
            low, high = max(floor, begin), min(ceiling, stop or ceiling)
        else:
            low, high = max(floor, stop or floor), min(ceiling, begin)
        if low >= high or not filter.rooms.allows(view.room_id):
            return Page([], begin, None)
        if not forwards:
            places = (high.order_pos, high.order_sub), (low.order_pos, low.order_sub)
            await self._history.fill(view.room_id, *places, limit + 1)
        scan = _Scan(low, high, forwards, limit)
        while not scan.done:
            await self._read_on(scan, view, filter)
        reached: RoomToken | None = scan.reached
        if scan.exhausted:
            # A client that asked for events up to a place may go on behind it.
            is_inner = stop is not None and (stop < ceiling if forwards else stop > floor)
            reached = stop if is_inner else None
        return Page(scan.found, begin, reached)

    async def members_of(self, view: RoomView, events: Sequence[StoredEvent]) -> list[Row]:
        """The member events of the events' senders, as (type, state_key, event_id, json)."""
        if not events:
            return []
        senders = {event.sender for event in events}
        at = max(event.order_pos for event in events)
        return await room_state.entries(self._db, view.room_id, [("m.room.member", user) for user in senders], at)

    async def _read_on(self, scan: "_Scan", view: RoomView, filter: RoomEventFilter) -> None:
        size = scan.next_size
        wanted = filter.senders.wanted
        rows = await room_events.page(
            self._db,
            view.room_id,
            (scan.low.order_pos, scan.low.order_sub),
            (scan.high.order_pos, scan.high.order_sub),
            forwards=scan.forwards,
            limit=size,
            senders=None if wanted is None else list(wanted),
        )
        events = [StoredEvent(view.version, row) for row in rows]
        await self._views.learn(view, events)
        scan.take(events, size, [event for event in events if view.shows(event) and _passes(filter, event)])


class _Scan:
    """How far one page has got: the stretch that is left, what was found, how much was looked at."""

    def __init__(self, low: RoomToken, high: RoomToken, forwards: bool, limit: int) -> None:
        self.low = low
        self.high = high
        self.forwards = forwards
        self.found: list[StoredEvent] = []
        self.exhausted = False
        self._limit = limit
        self._scanned = 0

    @property
    def next_size(self) -> int:
        """How many events to read now; one more than wanted, to know whether there are more."""
        return self._limit + 1 if self._scanned == 0 else SCAN_SIZE

    @property
    def done(self) -> bool:
        """Whether the page is full, or as full as it gets."""
        return self.exhausted or len(self.found) == self._limit or self._scanned >= MAXIMUM_SCANNED

    @property
    def reached(self) -> RoomToken:
        """The place up to which everything was looked at."""
        return self.low if self.forwards else self.high

    def take(self, events: Sequence[StoredEvent], size: int, shown: Sequence[StoredEvent]) -> None:
        """The next events, of which `size` were asked for, and those of them that pass."""
        self._scanned += len(events)
        room_left = self._limit - len(self.found)
        self.found += shown[:room_left]
        last = shown[room_left - 1] if len(shown) >= room_left else None
        if last is not None and last is not events[-1]:
            self._reach(last)
        elif len(events) < size:
            self.exhausted = True
        else:
            self._reach(events[-1])

    def _reach(self, event: StoredEvent) -> None:
        if self.forwards:
            self.low = event.place
        else:
            self.high = event.place_before


def _passes(filter: RoomEventFilter, event: StoredEvent) -> bool:
    if filter is EVERYTHING:
        return True
    if not filter.allows(event.type, event.sender):
        return False
    return filter.contains_url is None or filter.allows_event(event.type, event.sender, event.content)
