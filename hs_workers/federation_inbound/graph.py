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


class Graph:
    """Reads rooms' graphs."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    async def events(self, room_id: str, version: RoomVersion, event_ids: Collection[str]) -> list[StoredEvent]:
        """Those of the events that are in the room's timeline."""
        rows = await room_events.events(self._db, room_id, list(event_ids)) if event_ids else []
        return [StoredEvent(version, row) for row in rows]

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
        wanted = set(event_ids) - set(without)
        found: list[StoredEvent] = []
        places = [(event.order_pos, event.order_sub) for event in await self.events(room_id, version, wanted)]
        high = max(places, default=None)
        for _ in range(PAGES_LIMIT):
            if high is None or not wanted:
                break
            rows = await room_events.page(self._db, room_id, _BEGINNING, high, forwards=False, limit=PAGE, senders=None)
            for event in (StoredEvent(version, row) for row in rows):
                high = event.place_before.order_pos, event.place_before.order_sub
                if event.event_id not in wanted:
                    continue
                wanted.discard(event.event_id)
                if event.event.depth < min_depth:
                    continue
                found.append(event)
                if len(found) == limit:
                    return found
                wanted.update(set(event.event.prev_event_ids).difference(without))
            if len(rows) < PAGE:
                break
        return found

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


def _auth_events(pdus: Iterable[str], version: RoomVersion) -> Iterable[str]:
    for pdu in pdus:
        references: list[Any] = orjson.loads(pdu)["auth_events"]
        yield from references if version.event_id_is_hash else (reference[0] for reference in references)
