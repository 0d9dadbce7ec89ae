"""Reads what is bundled with events of limited timelines: references, the newest edit, the thread's summary.

A client adds up itself what it sees after an event; so a timeline without a hole needs nothing bundled. What is bundled
is judged like the events of a timeline: who has left a room is told of nothing that came later.

Spec: client-server API, #aggregations-of-child-events.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from hs_common.matrix.event import Event
from hs_common.matrix.relations import MAX_REFERENCES, REFERENCE, REPLACE, THREAD, bundle, latest_edit, thread_summary
from hs_common.storage import room_events, sync_relations, sync_rooms
from hs_common.storage.queries import Queries
from hs_workers.sync.event_json import EventFormat
from hs_workers.sync.load_timelines import load_rights
from hs_workers.sync.reading_rights import ReadingRights
from hs_workers.sync.timeline import TimelineEvent, TimelineRow
from hs_workers.sync.windows import Membership, Window

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
        self._rights = ReadingRights(user_id)
        self._windows: dict[str, Window] = {}

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
        if not kinds:
            return {}
        await self._load_windows({parents[event_id].room_id for of_kind in kinds.values() for event_id in of_kind})
        references = await self._references(parents, kinds.get(REFERENCE, []))
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

    async def _load_windows(self, room_ids: set[str]) -> None:
        """How far the reader sees each room: to the answer's position, or to where he was put out."""
        missing = sorted(room_ids - self._windows.keys())
        if not missing:
            return
        spans: dict[str, list[tuple[int, int, str]]] = {room_id: [] for room_id in missing}
        for row in await sync_rooms.all_memberships(self._db, self._user_id, missing, self._now):
            member = Membership(*row)
            if not member.out_of_band:
                spans[member.room_id].append((member.from_pos, member.to_pos, member.membership))
        for room_id, of_room in spans.items():
            left = max((to_pos for _, to_pos, membership in of_room if membership == "join"), default=0)
            self._windows[room_id] = Window(room_id, 0, 0, min(left, self._now), spans=tuple(of_room))

    def _uptos(self, parents: Mapping[str, Event], parent_ids: Sequence[str]) -> list[int]:
        return [self._windows[parents[event_id].room_id].upto for event_id in parent_ids]

    async def _references(self, parents: Mapping[str, Event], parent_ids: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        if parent_ids:
            uptos = self._uptos(parents, parent_ids)
            rows = await sync_relations.references(self._db, parent_ids, self._ignored, uptos, MAX_REFERENCES)
            for parent_id, event_id in rows:
                found.setdefault(parent_id, []).append(event_id)
        return found

    async def _edits(self, parents: Mapping[str, Event], parent_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        wanted = [event_id for event_id in parent_ids if parents[event_id].sender not in self._ignored]
        if not wanted:
            return {}
        candidates: dict[str, list[str]] = {}
        uptos = self._uptos(parents, wanted)
        for parent_id, event_id in await sync_relations.edits(self._db, wanted, uptos, EDITS_TRIED):
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
        uptos = self._uptos(parents, parent_ids)
        rows = await sync_relations.threads(self._db, parent_ids, self._user_id, self._ignored, uptos)
        newest = await self._events({row[3]: parents[row[0]] for row in rows})
        inner = await self._load(newest, (), with_threads=False)
        return {
            parent_id: thread_summary(
                self._nested(newest[event_id], inner.get(event_id, {})), count, bool(participated)
            )
            for parent_id, count, participated, event_id in rows
            if event_id in newest
        }

    async def _events(self, siblings: Mapping[str, Event]) -> dict[str, Event]:
        """Those of the events that the reader may see, by id; each is given with one of the same room."""
        rows = await room_events.events_of_rooms(self._db, list(siblings)) if siblings else []
        found = [TimelineEvent(TimelineRow(*row[:15]), row[15]) for row in rows]
        by_room: dict[str, list[TimelineEvent]] = {}
        for one in found:
            by_room.setdefault(one.row.room_id, []).append(one)
        await load_rights(self._db, [(self._windows[room], events) for room, events in by_room.items()], self._rights)
        return {
            one.row.event_id: one.event(siblings[one.row.event_id].room_version.identifier)
            for one in found
            if self._rights.may_see(self._windows[one.row.room_id], one)
        }

    def _nested(self, event: Event, relations: Mapping[str, Any]) -> dict[str, Any]:
        unsigned: dict[str, Any] = {"age": self._now_ms - event.origin_server_ts}
        if relations:
            unsigned["m.relations"] = relations
        return self._format.nested(event, unsigned)
