"""Deciding on history that is found later: it comes before the live event that its gap stands before, and is told to
nobody; who reads backwards finds it. What was redacted here before it came stays so, whoever gives it whole.

Of the state before it only what reading looks at is known: it is written as overrides against the state that held where
the gap begins. Spec: server-server-api.md#backfilling-and-retrieving-missing-events.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from hs_common.matrix.auth_rules import CREATE_KEY, POWER_LEVELS_KEY
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.replication.federation_calls import HistoryInserted, InsertHistory
from hs_common.storage import room_forks, room_state
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.decisions.receiving import MAXIMUM_HELD, parsed
from hs_master.rooms import references
from hs_master.rooms.receive import redacted
from hs_master.rooms.search import write_search
from hs_master.step import Step

# Events of one call: a page of what other servers answer.
MAXIMUM_EVENTS: Final = 100
# State that decides who may read, and is followed through the page; of members, this server's alone are.
_FOLLOWED: Final = ("m.room.history_visibility", "m.room.power_levels", "m.room.join_rules", "m.room.create")


@dataclass(slots=True)
class _Loaded:
    version: RoomVersion
    next_sub: int
    state_pos: int
    placed: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    overrides: dict[StateKey, str] = field(default_factory=dict)
    redactions: dict[str, list[Event]] = field(default_factory=dict)  # by event: those that came first
    authority: dict[StateKey, Event] = field(default_factory=dict)  # of the current state, what redacting needs

    def redaction_of(self, event: Event) -> Event | None:
        """The redaction of an event that came first and counts."""
        create, levels = self.authority.get(CREATE_KEY), self.authority.get(POWER_LEVELS_KEY)
        for redaction in self.redactions.get(event.event_id, ()):
            if create is not None and references.takes_effect_in(create, levels, redaction.sender, event):
                return redaction
        return None


class InsertHistoryDecider:
    """Decides `InsertHistory`."""

    def __init__(self, server_name: str) -> None:
        self._server_name = server_name

    def queue(self, call: InsertHistory) -> str:
        return f"history {call.room_id}"

    async def load(self, call: InsertHistory, db: Queries) -> _Loaded | None:
        version = await room_state.room_version(db, call.room_id)
        gap = await room_forks.gap(db, call.room_id, call.before_pos)
        if version is None or gap is None:
            return None
        state_pos = await room_forks.state_pos_at(db, call.room_id, call.before_pos)
        loaded = _Loaded(ROOM_VERSIONS[version], gap[0], state_pos)
        for event_id, status, redaction, json in await room_forks.arrivals(db, [pdu.event_id for pdu in call.events]):
            if status not in (None, room_forks.WITHOUT_STATE):
                loaded.placed.add(event_id)
            if redaction is not None:
                held = loaded.redactions.setdefault(event_id, [])
                if len(held) < MAXIMUM_HELD:
                    held.append(Event.from_pdu(orjson.loads(json), loaded.version, redaction))
        if loaded.redactions:
            await self._read_authority(call.room_id, loaded, db)
        for event_id, status, event_type, state_key, _ in await room_forks.state_facts(db, call.state):
            if status != room_forks.REJECTED and state_key is not None:
                loaded.overrides[event_type, state_key] = event_id
        return loaded

    @staticmethod
    async def _read_authority(room_id: str, loaded: _Loaded, db: Queries) -> None:
        rows = await room_forks.current_entries(db, room_id, [CREATE_KEY, POWER_LEVELS_KEY])
        for event_id, _, json in await room_forks.events(db, [event_id for _, _, event_id in rows]):
            event = Event.from_pdu(orjson.loads(json), loaded.version, event_id)
            loaded.authority[event.key] = event

    def decide(self, call: InsertHistory, step: Step, loaded: _Loaded | None) -> HistoryInserted:
        if loaded is None:
            raise not_found(f"There is no such gap in the room {call.room_id}")
        if loaded.next_sub != call.next_sub:
            raise MatrixError(409, "M_CONFLICT", "Others have filled of the gap meanwhile")
        if len(call.events) > MAXIMUM_EVENTS:
            raise MatrixError(400, "M_TOO_LARGE", f"At most {MAXIMUM_EVENTS} events fit into one call")
        events = [
            (parsed(pdu.pdu, loaded.version, pdu.event_id), pdu.pdu)
            for pdu in call.events
            if pdu.event_id not in loaded.placed
        ]
        self._write(call, step, loaded, events)
        next_sub = call.next_sub - len(events)
        wanted = "" if call.is_end else " ".join(call.wanted)
        gap = (call.room_id, call.before_pos, next_sub, wanted, call.in_vain, call.again_ms)
        step.upsert(tables.GAP, (call.room_id, str(call.before_pos)), *gap)
        return HistoryInserted(pos=step.pos, inserted=len(events))

    def _write(self, call: InsertHistory, step: Step, loaded: _Loaded, events: Sequence[tuple[Event, bytes]]) -> None:
        overrides = dict(loaded.overrides)
        delta_id: int | None = None
        oldest_sub = call.next_sub - len(events) + 1
        for number, (event, encoded) in enumerate(reversed(events)):
            if delta_id is None and overrides:
                delta_id = self._write_delta(step, overrides)
            step.pos += 1
            state, redaction = (loaded.state_pos, delta_id), loaded.redaction_of(event)
            self._write_event(step, call, event, encoded, oldest_sub + number, state, redaction)
            if event.is_state and self._is_followed(event.key):
                overrides[event.key] = event.event_id
                delta_id = None

    def _is_followed(self, key: StateKey) -> bool:
        event_type, state_key = key
        if event_type == "m.room.member":
            return state_key.endswith(":" + self._server_name)
        return event_type in _FOLLOWED

    @staticmethod
    def _write_delta(step: Step, overrides: dict[StateKey, str]) -> int:
        step.pos += 1
        for (event_type, state_key), event_id in overrides.items():
            step.row(tables.STATE_DELTA, step.pos, event_type, state_key, event_id)
        return step.pos

    @staticmethod
    def _write_event(
        step: Step,
        call: InsertHistory,
        event: Event,
        encoded: bytes,
        sub: int,
        state: tuple[int, int | None],
        redaction: Event | None,
    ) -> None:
        if redaction is not None:
            event, encoded = redacted(event)
            step.row(tables.HELD_REDACTION_END, event.event_id)
        redacted_by = None if redaction is None else redaction.event_id
        room_id, event_id, before_pos = call.room_id, event.event_id, call.before_pos
        relation = references.relation_of(event.content) if not event.is_state else None
        root = relation.parent_id if relation is not None and relation.rel_type == "m.thread" else None
        step.row(tables.EVENT_RECEIVED, event_id, room_id, step.pos, 0, None, redacted_by, encoded.decode())
        place = (room_id, before_pos, sub, event_id, event.sender, event.type, event.state_key, event.origin_server_ts)
        step.row(tables.TIMELINE, *place, root, 0, *state, None, None)
        references.write_relation(step, event, relation, before_pos, sub)
        write_search(step, event, step.pos)
