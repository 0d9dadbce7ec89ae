"""What has to be in memory before a call about a room can be decided, and the station that reads it.

Deciding never waits: it runs on what is known. A call says what it needs (`Needs`); `Loader.missing` tells whether that
is there, `Loader.load` reads what is not, for many calls in a few statements. What was read while the room moved on is
thrown away and read again.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import orjson

from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage import appservices, room_heads, room_members, room_state
from hs_common.storage.queries import Queries
from hs_master.rooms.head import Cause, RoomHead
from hs_master.step import Annotation, Knowledge, KnownEvent, Profile

# Causes of a service's interest that are no alias: members in its namespace; the room's id.
MEMBERS: Final = ""
ROOM_ID: Final = "!"
# Single events and annotations kept for what refers to them next; an event costs some 2 KiB.
MAXIMUM_KNOWN_EVENTS: Final = 2000


@dataclass(slots=True)
class Needs:
    """State entries of one room, events, annotations and profiles that a decision looks at."""

    room_id: str
    keys: list[StateKey] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)
    """Local users."""


class Loader:
    """Brings what decisions need into `knowledge`."""

    def __init__(self, knowledge: Knowledge, db: Queries, server_name: str) -> None:
        self._knowledge = knowledge
        self._db = db
        self._server_name = server_name

    def missing(self, needs: Needs) -> bool:
        """Whether anything must be read before a call with these needs is decided."""
        known = self._knowledge
        head = known.heads.get(needs.room_id)
        if head is None or not all(head.has(key) for key in needs.keys):
            return True
        if head.causes is None and (known.services is None or known.services.anyone_listens):
            return True
        if any(user_id not in known.profiles for user_id in needs.profiles):
            return True
        if any(event_id not in known.events for event_id in needs.events):
            return True
        return any(annotation not in known.annotations for annotation in needs.annotations)

    async def load_heads(self, room_ids: Iterable[str]) -> set[str]:
        """Read heads that are not known yet; returns the rooms that do not exist here."""
        known = self._knowledge
        wanted = [room_id for room_id in dict.fromkeys(room_ids) if room_id not in known.heads]
        if not wanted:
            return set()
        reading, moved = object(), set[str]()
        known.readings[reading] = moved
        try:
            versions = await room_state.room_versions(self._db, wanted)
            found = {room_id: RoomHead(room_id, ROOM_VERSIONS[version]) for room_id, version in versions.items()}
            if found:
                await self._fill_heads(found)
        finally:
            del known.readings[reading]
        for room_id, head in found.items():
            if room_id not in moved:
                known.heads.setdefault(room_id, head)
        known.bound_heads()
        return set(wanted) - set(found) - moved

    async def _fill_heads(self, found: dict[str, RoomHead]) -> None:
        room_ids = list(found)
        for room_id, event_id, json in await room_heads.newest_events(self._db, room_ids):
            found[room_id].extremities, found[room_id].depth = (event_id,), orjson.loads(json)["depth"]
        for room_id, event_ids, depth in await room_heads.forks(self._db, room_ids):
            found[room_id].extremities, found[room_id].depth = tuple(event_ids), depth
        for room_id, pos in await room_heads.state_positions(self._db, room_ids):
            found[room_id].state_pos = pos or 0
        for room_id, server, count in await room_heads.joined_by_server(self._db, room_ids):
            found[room_id].servers[server] = count
            found[room_id].joined += count

    async def load_services(self) -> None:
        """Read the application services, once: later changes are decided here."""
        if self._knowledge.services is None:
            services = await appservices.services(self._db, self._server_name)
            if self._knowledge.services is None:
                self._knowledge.services = services

    async def load(self, needs: Iterable[Needs]) -> None:
        """Read what is missing of all the needs (heads must be known)."""
        wanted = [need for need in needs if need.room_id in self._knowledge.heads]
        await self._load_state(wanted)
        await self._load_interest({need.room_id for need in wanted})
        await self._load_profiles(dict.fromkeys(user_id for need in wanted for user_id in need.profiles))
        known = self._knowledge
        events = dict.fromkeys(event_id for need in wanted for event_id in need.events if event_id not in known.events)
        if events:
            await self._load_events(list(events))
        annotations = dict.fromkeys(
            item for need in wanted for item in need.annotations if item not in known.annotations
        )
        if annotations:
            rows = await room_heads.annotations(self._db, list(annotations))
            there = {(parent, sender, event_type, key): event_id for parent, sender, event_type, key, event_id in rows}
            for annotation in annotations:
                known.annotations.setdefault(annotation, there.get(annotation))
        self._bound_events()

    async def _load_state(self, wanted: list[Needs]) -> None:
        heads = self._knowledge.heads
        keys = list(
            dict.fromkeys(
                (need.room_id, *key) for need in wanted for key in need.keys if not heads[need.room_id].has(key)
            )
        )
        if not keys:
            return
        before = {room_id: (heads[room_id], heads[room_id].changes) for room_id, _, _ in keys}
        entries: dict[str, dict[StateKey, Event | None]] = {room_id: {} for room_id in before}
        for room_id, event_type, state_key in keys:
            entries[room_id][event_type, state_key] = None
        for room_id, event_type, state_key, event_id, json in await room_heads.state_entries(self._db, keys):
            version = before[room_id][0].version
            entries[room_id][event_type, state_key] = Event.from_pdu(orjson.loads(json), version, event_id)
        for room_id, loaded in entries.items():
            head, changes = before[room_id]
            if head.changes == changes:  # if it was dropped meanwhile, nobody looks at it any more
                head.fill(loaded)

    async def _load_interest(self, room_ids: set[str]) -> None:
        """Why services are interested in the rooms, and what the table says of that."""
        heads, services = self._knowledge.heads, self._knowledge.services
        assert services is not None, "the services are read before anything else"
        wanted = [room_id for room_id in room_ids if room_id in heads and heads[room_id].causes is None]
        if not wanted or not services.anyone_listens:
            return
        before = {room_id: heads[room_id].changes for room_id in wanted}
        causes: dict[str, Counter[Cause]] = {room_id: Counter() for room_id in wanted}
        open_rows: dict[str, set[Cause]] = {room_id: set() for room_id in wanted}
        for room_id, user_id in await appservices.joined_users(self._db, wanted):
            causes[room_id].update((service_id, MEMBERS) for service_id in services.interested_in_user(user_id))
        for room_id, alias in await appservices.aliases(self._db, wanted):
            causes[room_id].update((service_id, alias) for service_id in services.interested_in_alias(alias))
        for room_id, service_id, cause in await appservices.open_causes(self._db, wanted):
            open_rows[room_id].add((service_id, cause))
        for room_id in wanted:
            causes[room_id].update((service_id, ROOM_ID) for service_id in services.interested_in_room(room_id))
            head = heads.get(room_id)
            if head is not None and head.changes == before[room_id]:
                head.fill_interest(dict(causes[room_id]), open_rows[room_id])

    async def _load_profiles(self, user_ids: Iterable[str]) -> None:
        known = self._knowledge
        wanted = [user_id for user_id in user_ids if user_id not in known.profiles]
        if not wanted:
            return
        reading, moved = object(), set[str]()
        known.readings[reading] = moved
        found: dict[str, Profile] = {user_id: {} for user_id in wanted}
        try:
            for user_id, name, value in await room_members.profiles(self._db, wanted):
                found[user_id][name] = orjson.loads(value)
        finally:
            del known.readings[reading]
        for user_id, profile in found.items():
            if user_id not in moved:
                known.profiles[user_id] = profile
        known.bound_profiles()

    async def _load_events(self, event_ids: list[str]) -> None:
        known = self._knowledge
        missing = dict.fromkeys(event_ids)
        rows = await room_heads.known_events(self._db, event_ids)
        for event_id, version, json, redacted_by, order_pos, order_sub, thread_root in rows:
            event = Event.from_pdu(orjson.loads(json), ROOM_VERSIONS[version], event_id)
            found = KnownEvent(event, order_pos, order_sub, thread_root, redacted_by is not None)
            known.events.setdefault(event_id, found)
            missing.pop(event_id)
        for event_id in missing:
            known.events.setdefault(event_id, None)

    def _bound_events(self) -> None:
        self._knowledge.bound(MAXIMUM_KNOWN_EVENTS)
