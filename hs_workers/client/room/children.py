"""The children of an event, and the threads of a room, in pages.

Spec: client-server API, #relationships-api, #querying-threads-in-a-room.
"""

from typing import Any, Final, NamedTuple

from hs_common.http.request import Requester
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import RoomView, RoomViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_relations
from hs_common.storage.queries import Queries, Row
from hs_workers.client.room.answers import array
from hs_workers.client.room.reading import Reading

RECURSION_DEPTH: Final = 3
""""Homeservers SHOULD traverse at least 3 levels of relationships.\""""
BEGINNING: Final = RoomToken(0)
REPLIES_LOOKED_AT: Final = 1_000
"""Newest replies of a room among which its newest threads are sought."""


class Wanted(NamedTuple):
    """Which children of an event, and which page of them."""

    rel_type: str | None
    event_type: str | None
    start: RoomToken | None
    stop: RoomToken | None
    forwards: bool
    limit: int
    recurse: bool | None
    """None: the client did not say."""


class Children:
    """Reads relationships."""

    def __init__(self, db: Queries, reading: Reading, views: RoomViews, events: ClientEvents) -> None:
        self._db = db
        self._reading = reading
        self._views = views
        self._events = events

    async def of(self, room_id: str, requester: Requester, parent_id: str, wanted: Wanted) -> dict[str, Any]:
        """The answer of /relations. 404 `M_NOT_FOUND` if the parent is not there to be seen."""
        view, _ = await self._reading.event(room_id, requester, parent_id)
        low, high = _stretch(view, wanted)
        rows = await room_relations.children(
            self._db,
            room_id,
            parent_id,
            wanted.rel_type,
            wanted.event_type,
            (low.order_pos, low.order_sub),
            (high.order_pos, high.order_sub),
            depth=RECURSION_DEPTH if wanted.recurse else 1,
            forwards=wanted.forwards,
            limit=wanted.limit + 1,
        )
        found = [StoredEvent(view.version, row) for row in rows]
        page = found[: wanted.limit]
        await self._views.learn(view, page)
        shown = [event for event in page if view.shows(event)]
        answer: dict[str, Any] = {"chunk": array(await self._events.encoded(view, shown))}
        if len(found) > wanted.limit:
            answer["next_batch"] = str(page[-1].place if wanted.forwards else page[-1].place_before)
        if wanted.start is not None:
            answer["prev_batch"] = str(wanted.start)
        if wanted.recurse is not None:
            answer["recursion_depth"] = RECURSION_DEPTH if wanted.recurse else 1
        return answer

    async def threads(
        self, room_id: str, requester: Requester, start: RoomToken | None, limit: int, participated: bool
    ) -> dict[str, Any]:
        """The answer of /threads. 403 `M_FORBIDDEN`."""
        view = await self._reading.view(room_id, requester)
        high = min(start, RoomToken(view.upto)) if start is not None else RoomToken(view.upto)
        rows = await self._newest_threads(view, (high.order_pos, high.order_sub), limit + 1, participated)
        page = rows[:limit]
        stored = await self._events.stored(view, [row[0] for row in page])
        roots = [stored[row[0]] for row in page if row[0] in stored and view.may_see(stored[row[0]])]
        answer: dict[str, Any] = {"chunk": array(await self._encoded_roots(view, roots))}
        if len(rows) > limit:
            answer["next_batch"] = str(RoomToken.before(*page[-1][1:]))
        return answer

    async def _newest_threads(self, view: RoomView, high: tuple[int, int], limit: int, participated: bool) -> list[Row]:
        """(root's event id, order_pos, order_sub of the newest event) of the most recently continued threads: those of
        the newest replies; all are looked at only where few threads have all of these."""
        user_id, ignored = view.reader.user_id, list(view.ignored)
        replies = await room_relations.newest_threaded(self._db, view.room_id, ignored, high, REPLIES_LOOKED_AT)
        newest: dict[str, Row] = {}
        for reply in replies:
            newest.setdefault(reply[0], reply)
        ended = await room_relations.threads_among(
            self._db, view.room_id, user_id, ignored, list(newest), high, participated=participated
        )
        found = [reply for root, reply in newest.items() if root in ended]
        if len(found) >= limit or len(replies) < REPLIES_LOOKED_AT:
            return found[:limit]
        return await room_relations.threads(
            self._db, view.room_id, user_id, ignored, high, participated=participated, limit=limit
        )

    async def _encoded_roots(self, view: RoomView, roots: list[StoredEvent]) -> list[bytes]:
        """Roots of ignored users are shown redacted, since their threads go on without them."""
        encoded = await self._events.encoded(view, roots)
        for index, root in enumerate(roots):
            if view.is_ignored(root):
                encoded[index] = self._events.redacted(view, root, await self._events.bundle(view, root))
        return encoded


def _stretch(view: RoomView, wanted: Wanted) -> tuple[RoomToken, RoomToken]:
    """The places between which children are wanted: after the first, up to the second."""
    newest = RoomToken(view.upto)
    if wanted.forwards:
        return wanted.start or BEGINNING, min(wanted.stop or newest, newest)
    return wanted.stop or BEGINNING, min(wanted.start or newest, newest)
