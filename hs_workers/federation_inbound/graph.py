"""Walks over the graph of a room's events: back along prev events, and along auth events.

Rules: every walk is bounded, in events and in statements; what is not here ends it. Prev events are walked along the
timeline, which has parents before children, so that a page of it is one statement.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

import orjson

from hs_common.matrix.room_versions import RoomVersion
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_events, server_views
from hs_common.storage.queries import Queries

PAGE: Final = 200
PAGES_LIMIT: Final = 10
"""Of the timeline that are looked at for one request: with many forks, most events are none of the ancestors."""
CHAIN_LIMIT: Final = 100_000
"""Events of an auth chain; the largest known rooms have some ten thousand."""
ROUNDS_LIMIT: Final = 2_000
_BEGINNING: Final = (0, 0)
_Place = tuple[int, int]


class Graph:
    """Reads rooms' graphs."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    async def events(self, room_id: str, version: RoomVersion, event_ids: Collection[str]) -> list[StoredEvent]:
        """Those of the events that are in the room's timeline, or soft failed."""
        wanted = await server_views.without_imported(self._db, list(event_ids))
        rows = await room_events.events(self._db, room_id, wanted) if wanted else []
        found = [StoredEvent(version, row) for row in rows]
        here = {event.event_id for event in found}
        return found + await self._soft_failed(room_id, version, [one for one in wanted if one not in here])

    async def ancestors(
        self,
        room_id: str,
        version: RoomVersion,
        event_ids: Iterable[str],
        limit: int,
        *,
        without: Collection[str] = (),
        min_depth: int = 0,
    ) -> list[StoredEvent]:
        """The events and what precedes them, the newest first; neither `without` nor what only precedes these."""
        starts = await server_views.without_imported(self._db, list(event_ids))
        walk = _Walk(set(starts).difference(without), without, limit, min_depth)
        high: _Place | None = None
        for _ in range(PAGES_LIMIT):
            # What is soft failed stands in no timeline: it is found through those that cite it.
            for event in await self._soft_failed(room_id, version, walk.unsought()):
                walk.take(event)
            high = await self._highest(room_id, walk.unplaced(), high)
            if high is None or walk.is_over:
                break
            rows = await room_events.page(self._db, room_id, _BEGINNING, high, forwards=False, limit=PAGE, senders=None)
            for event in (StoredEvent(version, row) for row in rows):
                high = event.place_before.order_pos, event.place_before.order_sub
                if event.event_id in walk.wanted and not walk.is_over:
                    walk.take(event)
            if len(rows) < PAGE and not walk.has_unsought:
                break
        # Parents after their children, also where a soft failed event was found late.
        return sorted(walk.found, key=lambda event: -event.event.depth)

    async def _highest(self, room_id: str, event_ids: Collection[str], high: "_Place | None") -> "_Place | None":
        """Where to read on from: not below the events that were just found to be wanted."""
        rows = await room_events.events(self._db, room_id, list(event_ids)) if event_ids else []
        places = [(row[1], row[2]) for row in rows]
        return max(places if high is None else [*places, high], default=None)

    async def _soft_failed(self, room_id: str, version: RoomVersion, event_ids: list[str]) -> list[StoredEvent]:
        rows = await server_views.soft_failed(self._db, room_id, event_ids) if event_ids else []
        return [_placed(version, room_id, *row) for row in rows]

    async def auth_chain(self, room_id: str, version: RoomVersion, pdus: Iterable[str]) -> dict[str, str]:
        """The PDUs that authorise some PDUs (JSON), recursively, by event id."""
        chain: dict[str, str] = {}
        wanted = set(_auth_events(pdus, version))
        for _ in range(ROUNDS_LIMIT):
            if not wanted or len(chain) > CHAIN_LIMIT:
                break
            found = await server_views.event_json(self._db, room_id, list(wanted))
            chain.update(found)
            wanted = set(_auth_events(found.values(), version)) - chain.keys()
        return chain


class _Walk:
    """How far a walk has come."""

    def __init__(self, wanted: set[str], without: Collection[str], limit: int, min_depth: int) -> None:
        self.wanted = wanted
        self.found: list[StoredEvent] = []
        self._without = without
        self._limit = limit
        self._min_depth = min_depth
        self._taken: set[str] = set()
        self._sought: set[str] = set()
        self._unplaced = set(wanted)

    @property
    def is_over(self) -> bool:
        return not self.wanted or len(self.found) >= self._limit

    def take(self, event: StoredEvent) -> None:
        """A wanted event was found: what it cites is wanted next."""
        self.wanted.discard(event.event_id)
        self._taken.add(event.event_id)
        if event.event.depth < self._min_depth or len(self.found) >= self._limit:
            return
        self.found.append(event)
        new = set(event.event.prev_event_ids).difference(self._without, self._taken, self.wanted)
        self.wanted |= new
        self._unplaced |= new

    @property
    def has_unsought(self) -> bool:
        return bool(self.wanted - self._sought)

    def unsought(self) -> list[str]:
        """What is wanted and was not yet looked for among the soft failed."""
        new = self.wanted - self._sought
        self._sought |= new
        return list(new)

    def unplaced(self) -> list[str]:
        """What came to be wanted since it was last asked for, and still is."""
        new, self._unplaced = self._unplaced & self.wanted, set()
        return list(new)


def _placed(
    version: RoomVersion,
    room_id: str,
    event_id: str,
    state_pos: int,
    delta_id: int | None,
    replaces_state: str | None,
    redacted_by: str | None,
    json: str,
) -> StoredEvent:
    """A soft failed event as if it stood in the timeline where its state held: for who may see it."""
    pdu = orjson.loads(json)
    place = (room_id, state_pos, 0, event_id, pdu["sender"], pdu["type"], pdu.get("state_key"))
    rest = (pdu["origin_server_ts"], None, state_pos, delta_id, None, None, replaces_state, redacted_by, json)
    return StoredEvent(version, (*place, *rest))


def _auth_events(pdus: Iterable[str], version: RoomVersion) -> Iterable[str]:
    for pdu in pdus:
        references: list[Any] = orjson.loads(pdu)["auth_events"]
        yield from references if version.event_id_is_hash else (reference[0] for reference in references)
