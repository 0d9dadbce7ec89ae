"""Stored events in the format for clients, for one reader: `unsigned` with its parts, bundled aggregations and all.

Many events cost a few statements: what they replace and what redacted them in one, which of them have children in one,
and the children only where there are any. What is returned is one reader's and must not be kept.

Spec: client-server API, #room-event-format, #aggregations-of-child-events.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from hs_common.matrix import client_event, relations
from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import RoomVersion
from hs_common.reading.room_view import RoomView, RoomViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_events, sync_relations
from hs_common.storage.queries import Queries

EDIT_CANDIDATES: Final = 3
"""The newest edits that are looked at: mostly the newest is valid, and what is not should be rare."""
BUNDLE_LEVELS: Final = 2
"""The children that are bundled are bundled with theirs, and it ends there."""

Bundles = Mapping[str, dict[str, Any]]


class ClientEvents:
    """Encodes events. `now_ms` is the time of day, for ages."""

    def __init__(self, db: Queries, views: RoomViews, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._views = views
        self._now_ms = now_ms

    async def encoded(
        self, view: RoomView, events: Sequence[StoredEvent], *, levels: int = BUNDLE_LEVELS
    ) -> list[bytes]:
        """The events, which the reader may see, each as JSON; `levels` 0: without bundled aggregations."""
        if not events:
            return []
        referred = await self._referred(view, events)
        bundles = await self._bundles(view, events, levels) if levels else {}
        now_ms = self._now_ms()
        return [self._encode(view, event, referred, bundles, now_ms) for event in events]

    async def encoded_of_rooms(self, groups: Sequence[tuple[RoomView, Sequence[StoredEvent]]]) -> list[list[bytes]]:
        """The same of several rooms, or several times of one. Most events have nothing that relates to them, which is
        found out for all of them together."""
        ids = {event.event_id for _, events in groups for event in events if event.state_key is None}
        upto = max((view.upto for view, _ in groups), default=0)
        related = {row[0] for row in await sync_relations.kinds(self._db, list(ids), upto)} if ids else set()
        found = []
        for view, events in groups:
            has_related = any(event.event_id in related for event in events)
            found.append(await self.encoded(view, events, levels=BUNDLE_LEVELS if has_related else 0))
        return found

    async def stored_of_rooms(self, views: Mapping[str, RoomView], event_ids: Sequence[str]) -> dict[str, StoredEvent]:
        """Those of the events that are in the timelines of these rooms, by id; visible or not."""
        by_room: dict[str, list[StoredEvent]] = {}
        for row in await room_events.events_of_rooms(self._db, event_ids) if event_ids else ():
            if row[0] in views:
                by_room.setdefault(row[0], []).append(StoredEvent(views[row[0]].version, row))
        for room_id, events in by_room.items():
            await self._views.learn(views[room_id], events)
        return {event.event_id: event for events in by_room.values() for event in events}

    async def stored(self, view: RoomView, event_ids: Iterable[str]) -> dict[str, StoredEvent]:
        """Those of the events that are in the room's timeline, by id; visible or not."""
        wanted = list(event_ids)
        if not wanted:
            return {}
        rows = await room_events.events(self._db, view.room_id, wanted)
        found = [StoredEvent(view.version, row) for row in rows]
        await self._views.learn(view, found)
        return {event.event_id: event for event in found}

    def state(self, version: RoomVersion, rows: Iterable[Sequence[Any]]) -> list[bytes]:
        """State entries (type, state_key, event_id, json, …) as events, without what would need a look-up for each."""
        now_ms = self._now_ms()
        return [_encode_state(Event.from_pdu(orjson.loads(row[3]), version, row[2]), now_ms) for row in rows]

    def redacted(self, view: RoomView, event: StoredEvent, bundle: bytes) -> bytes:
        """An event of which nothing but its aggregations may be shown."""
        plain = {
            "type": event.type,
            "sender": event.sender,
            "event_id": event.event_id,
            "origin_server_ts": event.origin_server_ts,
            "room_id": view.room_id,
            "content": {},
            "unsigned": {"m.relations": orjson.Fragment(bundle)},
        }
        return orjson.dumps(plain)

    async def bundle(self, view: RoomView, event: StoredEvent) -> bytes:
        """The bundled aggregations of one event."""
        return orjson.dumps((await self._bundles(view, [event], BUNDLE_LEVELS)).get(event.event_id, {}))

    def _encode(
        self,
        view: RoomView,
        event: StoredEvent,
        referred: Mapping[str, StoredEvent],
        bundles: Bundles,
        now_ms: int,
    ) -> bytes:
        is_own = event.sender == view.reader.user_id and event.device_id == view.reader.device_id
        unsigned: dict[str, Any] = {
            "age": now_ms - event.origin_server_ts,
            "membership": view.membership_at(event),
        }
        if is_own and event.device_id is not None and event.txn_id is not None:
            unsigned["transaction_id"] = event.txn_id
        if event.device_id == client_event.DELAYED_DEVICE and event.sender == view.reader.user_id:
            unsigned["delay_id"] = unsigned["org.matrix.msc4140.delay_id"] = event.txn_id
        if event.replaces_state is not None:
            unsigned["replaces_state"] = event.replaces_state
            replaced = referred.get(event.replaces_state)
            if replaced is not None and view.may_see(replaced):
                unsigned["prev_content"] = orjson.Fragment(client_event.encode(replaced.content))
        if event.redacted_by is not None and event.redacted_by in referred:
            because = referred[event.redacted_by]
            age = {"age": now_ms - because.origin_server_ts}
            closed = client_event.close(client_event.fragment(because.event), age, view.room_id)
            unsigned["redacted_because"] = orjson.Fragment(closed)
        bundle = bundles.get(event.event_id)
        if bundle:
            unsigned["m.relations"] = bundle
        return client_event.close(client_event.fragment(event.event), unsigned, view.room_id)

    async def _referred(self, view: RoomView, events: Sequence[StoredEvent]) -> Mapping[str, StoredEvent]:
        """The events that these replaced, and those that redacted them."""
        known = {event.event_id: event for event in events}
        named = {event_id for event in events for event_id in (event.replaces_state, event.redacted_by)}
        missing = [event_id for event_id in named if event_id is not None and event_id not in known]
        return {**known, **await self.stored(view, missing)} if missing else known

    async def _bundles(self, view: RoomView, events: Sequence[StoredEvent], levels: int) -> Bundles:
        parents = {event.event_id: event for event in events if event.state_key is None}
        if not parents:
            return {}
        kinds: dict[str, list[str]] = {}
        for parent_id, kind in await sync_relations.kinds(self._db, list(parents), view.upto):
            kinds.setdefault(kind, []).append(parent_id)
        if not kinds:
            return {}
        references = await self._references(view, kinds.get(relations.REFERENCE))
        edits = await self._edits(view, kinds.get(relations.REPLACE), parents)
        threads = await self._threads(view, kinds.get(relations.THREAD))
        children = [*edits.values(), *(newest for newest, _, _ in threads.values())]
        encoded = await self.encoded(view, children, levels=levels - 1)
        shown = {child.event_id: orjson.Fragment(json) for child, json in zip(children, encoded, strict=True)}
        return {
            parent_id: relations.bundle(
                references=references.get(parent_id, ()),
                edit=shown[edits[parent_id].event_id] if parent_id in edits else None,  # type: ignore[arg-type]
                thread=_summary(threads[parent_id], shown) if parent_id in threads else None,
                is_redacted=parent.redacted_by is not None,
            )
            for parent_id, parent in parents.items()
        }

    async def _references(self, view: RoomView, parent_ids: list[str] | None) -> dict[str, list[str]]:
        if not parent_ids:
            return {}
        found: dict[str, list[str]] = {}
        ignored, limit, uptos = list(view.ignored), relations.MAX_REFERENCES, _uptos(view, parent_ids)
        for parent_id, event_id in await sync_relations.references(self._db, parent_ids, ignored, uptos, limit):
            found.setdefault(parent_id, []).append(event_id)
        return found

    async def _edits(
        self, view: RoomView, parent_ids: list[str] | None, parents: Mapping[str, StoredEvent]
    ) -> dict[str, StoredEvent]:
        """The newest valid edit of each parent, if the reader may see it."""
        if not parent_ids:
            return {}
        rows = await sync_relations.edits(self._db, parent_ids, _uptos(view, parent_ids), EDIT_CANDIDATES)
        stored = await self.stored(view, {event_id for _, event_id in rows})
        candidates: dict[str, list[StoredEvent]] = {}
        for parent_id, event_id in rows:
            if event_id in stored and view.shows(stored[event_id]):
                candidates.setdefault(parent_id, []).append(stored[event_id])
        newest: dict[str, StoredEvent] = {}
        for parent_id, edits in candidates.items():
            edit = relations.latest_edit(parents[parent_id].event, (candidate.event for candidate in edits))
            if edit is not None:
                newest[parent_id] = stored[edit.event_id]
        return newest

    async def _threads(self, view: RoomView, parent_ids: list[str] | None) -> dict[str, tuple[StoredEvent, int, bool]]:
        """Of each thread its newest event, if the reader may see it, the count of events, and whether he took part."""
        if not parent_ids:
            return {}
        ignored = list(view.ignored)
        uptos = _uptos(view, parent_ids)
        rows = await sync_relations.threads(self._db, parent_ids, view.reader.user_id, ignored, uptos)
        stored = await self.stored(view, {newest for _, _, _, newest in rows})
        return {
            parent_id: (stored[newest], count, took_part)
            for parent_id, count, took_part, newest in rows
            if newest in stored and view.may_see(stored[newest])
        }


def _uptos(view: RoomView, parent_ids: Sequence[str]) -> list[int]:
    """For each parent the last position of which the reader may know: who has left hears of nothing that came later."""
    _, last = view.visible_positions
    return [min(last, view.upto)] * len(parent_ids)


def _summary(thread: tuple[StoredEvent, int, bool], shown: Mapping[str, orjson.Fragment]) -> dict[str, Any]:
    newest, count, took_part = thread
    return relations.thread_summary(shown[newest.event_id], count, took_part)  # type: ignore[arg-type]


def _encode_state(event: Event, now_ms: int) -> bytes:
    unsigned = {"age": now_ms - event.origin_server_ts}
    return client_event.close(client_event.fragment(event), unsigned, event.room_id)
