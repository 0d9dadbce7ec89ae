"""Reads what is bundled with events of limited timelines: references, the newest edit, the thread's summary.

A client adds up itself what it sees after an event; so a timeline without a hole needs nothing bundled.

Spec: client-server API, #aggregations-of-child-events.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.relations import MAX_REFERENCES, REFERENCE, REPLACE, THREAD, bundle, latest_edit, thread_summary
from hs_common.storage import sync_relations, sync_rooms
from hs_common.storage.queries import Queries
from hs_workers.sync.event_json import EventFormat, event_of

# Newest edits looked at for a valid one; invalid ones are rare, as clients make none.
EDITS_TRIED: Final = 5


class RelationLoader:
    """Loads bundled aggregations for one reader at one position."""

    def __init__(
        self, db: Queries, user_id: str, ignored: Sequence[str], now: int, now_ms: int, format: EventFormat
    ) -> None:
        self._db = db
        self._user_id = user_id
        self._ignored = ignored
        self._now = now
        self._now_ms = now_ms
        self._format = format

    async def load(self, parents: Mapping[str, Event], redacted: Collection[str]) -> dict[str, dict[str, Any]]:
        """Parent → `m.relations`, of those that have any. `redacted`: those of the parents that are."""
        return await self._load(parents, redacted, with_threads=True)

    async def _load(
        self, parents: Mapping[str, Event], redacted: Collection[str], with_threads: bool
    ) -> dict[str, dict[str, Any]]:
        ids = [event_id for event_id, event in parents.items() if not event.is_state]
        kinds: dict[str, list[str]] = {}
        for parent_id, rel_type in await sync_relations.kinds(self._db, ids, self._now) if ids else ():
            kinds.setdefault(rel_type, []).append(parent_id)
        references = await self._references(kinds.get(REFERENCE, []))
        edits = await self._edits(parents, kinds.get(REPLACE, []))
        threads = await self._threads(parents, kinds.get(THREAD, [])) if with_threads else {}
        bundles = {
            event_id: bundle(
                references=references.get(event_id, ()),
                edit=edits.get(event_id),
                thread=threads.get(event_id),
                is_redacted=event_id in redacted,
            )
            for event_id in {*references, *edits, *threads}
        }
        return {event_id: relations for event_id, relations in bundles.items() if relations}

    async def _references(self, parent_ids: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        if parent_ids:
            rows = await sync_relations.references(self._db, parent_ids, self._ignored, self._now, MAX_REFERENCES)
            for parent_id, event_id in rows:
                found.setdefault(parent_id, []).append(event_id)
        return found

    async def _edits(self, parents: Mapping[str, Event], parent_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        wanted = [event_id for event_id in parent_ids if parents[event_id].sender not in self._ignored]
        if not wanted:
            return {}
        candidates: dict[str, list[str]] = {}
        for parent_id, event_id in await sync_relations.edits(self._db, wanted, self._now, EDITS_TRIED):
            candidates.setdefault(parent_id, []).append(event_id)
        events = await self._events(
            {event_id: parents[parent] for parent, ids in candidates.items() for event_id in ids}
        )
        found = {}
        for parent_id, ids in candidates.items():
            edit = latest_edit(parents[parent_id], [events[event_id] for event_id in ids if event_id in events])
            if edit is not None:
                found[parent_id] = self._nested(edit, {})
        return found

    async def _threads(self, parents: Mapping[str, Event], parent_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        if not parent_ids:
            return {}
        rows = await sync_relations.threads(self._db, parent_ids, self._user_id, self._ignored, self._now)
        newest = await self._events({row[3]: parents[row[0]] for row in rows})
        inner = await self._load(newest, (), with_threads=False)
        return {
            parent_id: thread_summary(
                self._nested(newest[event_id], inner.get(event_id, {})), count, bool(participated)
            )
            for parent_id, count, participated, event_id in rows
        }

    async def _events(self, siblings: Mapping[str, Event]) -> dict[str, Event]:
        """Events by id, each given with an event of the same room, for its version."""
        rows = await sync_rooms.events(self._db, list(siblings)) if siblings else []
        return {
            row[0]: event_of(orjson.loads(row[4]), row[0], siblings[row[0]].room_version.identifier) for row in rows
        }

    def _nested(self, event: Event, relations: Mapping[str, Any]) -> dict[str, Any]:
        unsigned: dict[str, Any] = {"age": self._now_ms - event.origin_server_ts}
        if relations:
            unsigned["m.relations"] = relations
        return self._format.nested(event, unsigned)
