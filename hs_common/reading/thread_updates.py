"""Threads that went on since some place, in all rooms that a reader is joined to: each once, the latest first.

What ignored users say does not continue a thread, nor what was redacted. Looks at so many of the newest replies; where
there are more, the place to go on from is told.

Spec: MSC4360.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from hs_common.matrix.tokens import RoomToken
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import Reader, RoomView, RoomViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import thread_updates
from hs_common.storage.queries import Queries

MAXIMUM_THREADS: Final = 100
"""Of one answer; also what the specification has if the client does not say."""
REPLIES_LOOKED_AT: Final = 1_000
"""Newest replies among which threads are sought."""

Json = dict[str, Any]


class Stretch(NamedTuple):
    """The places between which a reply continues a thread: after the first, up to the second."""

    low: RoomToken
    high: RoomToken


@dataclass(frozen=True, slots=True)
class Updates:
    """Room → root → what is told of the thread. `more`: after where the next ones end, None if these are all."""

    threads: dict[str, dict[str, Json]] = field(default_factory=dict)
    more: RoomToken | None = None


@dataclass(slots=True)
class _Thread:
    """A thread with its newest reply, and the places of all replies in the stretch, the newest first."""

    room_id: str
    root: str
    newest: str
    places: list[tuple[int, int]]


class ThreadUpdates:
    """Reads them for any reader."""

    def __init__(self, db: Queries, views: RoomViews, events: ClientEvents) -> None:
        self._db = db
        self._views = views
        self._events = events

    async def page(
        self,
        reader: Reader,
        room_ids: Collection[str],
        ignored: Collection[str],
        stretch: Stretch,
        limit: int,
        *,
        with_roots: bool,
        told_after: Mapping[str, int] | None = None,
    ) -> Updates:
        """The latest threads of these rooms. One that went on after the stretch is told from there, not here.

        `told_after`: of rooms, the position after which the reader is told all events anyway: a thread that has nothing
        older to tell is left out.
        """
        low, high = stretch
        rows = await thread_updates.newest_replies(
            self._db,
            list(room_ids),
            list(ignored),
            (low.order_pos, low.order_sub),
            (high.order_pos, high.order_sub),
            REPLIES_LOOKED_AT,
        )
        threads = _by_thread(rows)
        roots = [(one.room_id, one.root) for one in threads]
        place = (high.order_pos, high.order_sub)
        continued = await thread_updates.continued(self._db, roots, list(ignored), place) if roots else set()
        is_cut = len(rows) == REPLIES_LOOKED_AT
        found = [
            one for one in threads if one.root not in continued and (is_cut or not _is_told(one, told_after or {}))
        ]
        more = None
        if len(found) > limit:
            more = RoomToken.before(*found[limit - 1].places[0])
        elif is_cut:
            more = RoomToken.before(*rows[-1][3:])
        return Updates(await self._told(reader, found[:limit], with_roots, is_cut), more)

    async def _told(
        self, reader: Reader, threads: Sequence[_Thread], with_roots: bool, is_cut: bool
    ) -> dict[str, dict[str, Json]]:
        """`is_cut`: there may be more replies than were looked at, also in these threads."""
        if not threads:
            return {}
        views = await self._views.views(sorted({one.room_id for one in threads}), reader)
        ids = [one.newest for one in threads] + ([one.root for one in threads] if with_roots else [])
        stored = await self._events.stored_of_rooms(views, ids)
        found = [one for one in threads if one.newest in stored and views[one.room_id].shows(stored[one.newest])]
        roots = await self._roots(
            views, [stored[one.root] for one in found if one.root in stored] if with_roots else []
        )
        told: dict[str, dict[str, Json]] = {}
        for one in found:
            update: Json = {"thread_root": roots[one.root]} if one.root in roots else {}
            if len(one.places) > 1 or is_cut:
                update["prev_batch"] = str(RoomToken.before(*one.places[0]))
            told.setdefault(one.room_id, {})[one.root] = update
        return told

    async def _roots(self, views: Mapping[str, RoomView], roots: Sequence[StoredEvent]) -> dict[str, orjson.Fragment]:
        """Roots with what is bundled; of those of ignored users nothing but that, as their threads go on."""
        by_room: dict[str, list[StoredEvent]] = {}
        for root in roots:
            if views[root.room_id].may_see(root):
                by_room.setdefault(root.room_id, []).append(root)
        found = {}
        for room_id, events in by_room.items():
            view = views[room_id]
            for event, encoded in zip(events, await self._events.encoded(view, events), strict=True):
                if view.is_ignored(event):
                    encoded = self._events.redacted(view, event, await self._events.bundle(view, event))
                found[event.event_id] = orjson.Fragment(encoded)
        return found


def _by_thread(rows: Sequence[Sequence[Any]]) -> list[_Thread]:
    """`rows`: replies, the newest first."""
    threads: dict[str, _Thread] = {}
    for room_id, root, event_id, order_pos, order_sub in rows:
        one = threads.setdefault(root, _Thread(room_id, root, event_id, []))
        if one.room_id == room_id:
            one.places.append((order_pos, order_sub))
    return list(threads.values())


def _is_told(thread: _Thread, told_after: Mapping[str, int]) -> bool:
    after = told_after.get(thread.room_id)
    return after is not None and thread.places[-1][0] > after
