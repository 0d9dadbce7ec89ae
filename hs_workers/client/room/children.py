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
from hs_common.storage.queries import Queries
from hs_workers.client.room.answers import array
from hs_workers.client.room.reading import Reading

RECURSION_DEPTH: Final = 3
""""Homeservers SHOULD traverse at least 3 levels of relationships.\""""
BEGINNING: Final = RoomToken(0)


class Wanted(NamedTuple):
    """Which children of an event, and which page of them."""

    rel_type: str | None
    event_type: str | None
    start: RoomToken | None
    stop: RoomToken | None
    forwards: bool
    limit: int
    recurse: bool


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
        if wanted.recurse:
            answer["recursion_depth"] = RECURSION_DEPTH
        return answer

    async def threads(
        self, room_id: str, requester: Requester, start: RoomToken | None, limit: int, participated: bool
    ) -> dict[str, Any]:
        """The answer of /threads. 403 `M_FORBIDDEN`."""
        view = await self._reading.view(room_id, requester)
        high = min(start, RoomToken(view.upto)) if start is not None else RoomToken(view.upto)
        rows = await room_relations.threads(
            self._db,
            room_id,
            requester.user_id,
            list(view.ignored),
            (high.order_pos, high.order_sub),
            participated=participated,
            limit=limit + 1,
        )
        page = rows[:limit]
        stored = await self._events.stored(view, [row[0] for row in page])
        roots = [stored[row[0]] for row in page if row[0] in stored and view.may_see(stored[row[0]])]
        answer: dict[str, Any] = {"chunk": array(await self._encoded_roots(view, roots))}
        if len(rows) > limit:
            answer["next_batch"] = str(RoomToken.before(*page[-1][1:]))
        return answer

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
