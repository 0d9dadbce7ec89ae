"""Deciding on history that is found later: it comes before the live event that its gap stands before, and is told to
nobody; who reads backwards finds it. What was redacted here before it came stays so, whoever gives it whole.

A redaction among it takes effect on what comes with it, or has waited for it; else it waits itself, and its place is
kept. Whether its sender may redact everybody's events is judged by its own auth events: of the state of then no more is
known for sure. What redacts an event that was here before becomes the newest of the room, as clients may have that
event (`waiting_redactions`).

Of the state before it only what reading looks at is known: it is written as overrides against the state that held where
the gap begins. Spec: server-server-api.md#backfilling-and-retrieving-missing-events.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from hs_common.matrix.auth_rules import CREATE_KEY, POWER_LEVELS_KEY, state_of
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.replication.federation_calls import HistoryInserted, InsertHistory
from hs_common.storage import room_forks, room_state
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.decisions.receiving import parsed
from hs_master.rooms import references
from hs_master.rooms.search import write_search
from hs_master.rooms.waiting_redactions import MAXIMUM_HELD, WaitingRedaction, look_again, note, reveal_in_history
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
    redacted: dict[str, str] = field(default_factory=dict)  # by event that is here as mere state, what redacted it
    waiting: dict[str, list[WaitingRedaction]] = field(default_factory=dict)  # by event, redactions that came first
    authority: dict[str, Event] = field(default_factory=dict)  # auth events of redactions, by id


@dataclass(slots=True)
class _Page:
    """What one call puts into its places."""

    call: InsertHistory
    events: dict[str, tuple[Event, bytes, int]]
    """By id, the oldest first: the event, its JSON, its place (`order_sub`)."""
    redactions: dict[str, list[Event]] = field(default_factory=dict)
    """By event of the page, those of the page that count for it."""
    aside: dict[str, list[str]] = field(default_factory=dict)
    """Redactions that are shown to nobody, or not yet, and what is missing before each."""
    awaited: list[str] = field(default_factory=list)


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
        awaited = dict[str, None]()
        for event_id, status, redaction, *_ in await room_forks.arrivals(db, [pdu.event_id for pdu in call.events]):
            if status is None:
                awaited[event_id] = None
            elif status != room_forks.WITHOUT_STATE:
                loaded.placed.add(event_id)
            elif redaction is not None:
                loaded.redacted[event_id] = redaction
        await self._read_waiting(call, loaded, list(awaited), db)
        await self._read_authority(call, loaded, db)
        for event_id, status, event_type, state_key, _ in await room_forks.state_facts(db, call.state):
            if status != room_forks.REJECTED and state_key is not None:
                loaded.overrides[event_type, state_key] = event_id
        return loaded

    @staticmethod
    async def _read_waiting(call: InsertHistory, loaded: _Loaded, awaited: Sequence[str], db: Queries) -> None:
        if not awaited:
            return
        for row in await room_forks.waiting_for(db, call.room_id, awaited, MAXIMUM_HELD * len(awaited)):
            one = WaitingRedaction.of(row, loaded.version)
            held = loaded.waiting.setdefault(one.target_id, [])
            if len(held) < MAXIMUM_HELD:
                held.append(one)

    @staticmethod
    async def _read_authority(call: InsertHistory, loaded: _Loaded, db: Queries) -> None:
        """The auth events of the redactions that are to be judged, and the create event."""
        judged = [one.event for held in loaded.waiting.values() for one in held if one.by_power is None]
        judged += [event for event, _ in _parsed(call, loaded) if _is_redaction(event)]
        if not judged:
            return
        wanted = {cited for event in judged for cited in event.judged_by_ids}
        for event_id, status, json in await room_forks.events(db, sorted(wanted)):
            if status != room_forks.REJECTED:
                loaded.authority[event_id] = Event.from_pdu(orjson.loads(json), loaded.version, event_id)

    def decide(self, call: InsertHistory, step: Step, loaded: _Loaded | None) -> HistoryInserted:
        if loaded is None:
            raise not_found(f"There is no such gap in the room {call.room_id}")
        if loaded.next_sub != call.next_sub:
            raise MatrixError(409, "M_CONFLICT", "Others have filled of the gap meanwhile")
        if len(call.events) > MAXIMUM_EVENTS:
            raise MatrixError(400, "M_TOO_LARGE", f"At most {MAXIMUM_EVENTS} events fit into one call")
        events = _parsed(call, loaded)
        self._write(step, loaded, _page(call, loaded, events))
        next_sub = call.next_sub - len(events)
        wanted = "" if call.is_end else " ".join(call.wanted)
        gap = (call.room_id, call.before_pos, next_sub, wanted, call.in_vain, call.again_ms)
        step.upsert(tables.GAP, (call.room_id, str(call.before_pos)), *gap)
        return HistoryInserted(pos=step.pos, inserted=len(events))

    def _write(self, step: Step, loaded: _Loaded, page: _Page) -> None:
        overrides = dict(loaded.overrides)
        delta_id: int | None = None
        for event, encoded, sub in page.events.values():
            if delta_id is None and overrides:
                delta_id = self._write_delta(step, overrides)
            step.pos += 1
            state = (loaded.state_pos, delta_id)
            if event.event_id in page.aside:
                self._keep_aside(step, loaded, page, event, encoded, sub, state)
                continue
            redaction = self._redacted_by(step, loaded, page, event, sub)
            self._write_event(step, page.call, event, encoded, sub, state, redaction)
            if event.is_state and self._is_followed(event.key):
                overrides[event.key] = event.event_id
                delta_id = None
        look_again(step, page.call.room_id, page.awaited)

    @staticmethod
    def _keep_aside(
        step: Step,
        loaded: _Loaded,
        page: _Page,
        event: Event,
        encoded: bytes,
        sub: int,
        state: tuple[int, int | None],
    ) -> None:
        """A redaction that does not count, or waits; its place stays free."""
        room_id, event_id, status = event.room_id, event.event_id, room_forks.SOFT_FAILED
        step.row(tables.EVENT_RECEIVED, event_id, room_id, step.pos, status, None, None, encoded.decode())
        step.row(tables.EVENT_STATE, event_id, room_id, *state, " ".join(page.aside[event_id]), True)
        if event.redacts not in page.events or event.redacts in page.aside:
            note(step, event, _has_power(event, loaded, page), (page.call.before_pos, sub))
            page.awaited.append(str(event.redacts))

    @staticmethod
    def _redacted_by(step: Step, loaded: _Loaded, page: _Page, event: Event, sub: int) -> str | None:
        """What redacts an event: of those that waited, those that have a place after it among history are shown now."""
        event_id, found = event.event_id, loaded.redacted.get(event.event_id)
        waiting = loaded.waiting.get(event_id, [])
        for one in waiting:
            power = _has_power(one.event, loaded, page) if one.by_power is None else one.by_power
            if not references.counts(one.event, power, event):
                continue
            found = found or one.event.event_id
            if not one.is_shown and one.order is not None and one.order > (page.call.before_pos, sub):
                reveal_in_history(step, one)
                page.awaited.append(one.event.event_id)  # others may wait for it
        if waiting or step.was_missed(event_id):
            page.awaited.append(event_id)
        return found or next((one.event_id for one in page.redactions.get(event_id, ())), None)

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
        redacted_by: str | None,
    ) -> None:
        if redacted_by is not None:
            event, encoded = references.redacted(event)
        room_id, event_id, before_pos = call.room_id, event.event_id, call.before_pos
        relation = references.relation_of(event.content) if not event.is_state else None
        root = relation.parent_id if relation is not None and relation.rel_type == "m.thread" else None
        step.row(tables.EVENT_RECEIVED, event_id, room_id, step.pos, 0, None, redacted_by, encoded.decode())
        place = (room_id, before_pos, sub, event_id, event.sender, event.type, event.state_key, event.origin_server_ts)
        step.row(tables.TIMELINE, *place, root, 0, *state, None, None)
        references.write_relation(step, event, relation, before_pos, sub)
        write_search(step, event, step.pos)


def _parsed(call: InsertHistory, loaded: _Loaded) -> list[tuple[Event, bytes]]:
    """What of a call is new, the newest first."""
    return [
        (parsed(pdu.pdu, loaded.version, pdu.event_id), pdu.pdu)
        for pdu in call.events
        if pdu.event_id not in loaded.placed
    ]


def _page(call: InsertHistory, loaded: _Loaded, events: Sequence[tuple[Event, bytes]]) -> _Page:
    """The events in their places, and which redactions among them count."""
    oldest_sub = call.next_sub - len(events) + 1
    page = _Page(
        call,
        {
            event.event_id: (event, encoded, oldest_sub + number)
            for number, (event, encoded) in enumerate(reversed(events))
        },
    )
    for event, _, _ in page.events.values():
        if not _is_redaction(event):
            continue
        target = page.events.get(str(event.redacts))
        counts = target is not None and references.counts(event, _has_power(event, loaded, page), target[0])
        if target is not None and counts and target[0].event_id not in page.aside:
            page.redactions.setdefault(target[0].event_id, []).append(event)
        else:
            missing = (page.aside.get(cited, [cited]) for cited in event.prev_event_ids if cited not in page.events)
            behind = (page.aside[cited] for cited in event.prev_event_ids if cited in page.aside)
            before = dict.fromkeys(one for ids in (*missing, *behind) for one in ids if one in page.call.wanted)
            page.aside[event.event_id] = list(before)
    return page


def _is_redaction(event: Event) -> bool:
    return event.redacts is not None and not event.is_state


def _has_power(event: Event, loaded: _Loaded, page: _Page) -> bool:
    """Whether a redaction's sender may redact everybody's events, by its own auth events."""
    found = [page.events[one][0] if one in page.events else loaded.authority.get(one) for one in event.judged_by_ids]
    state = state_of(one for one in found if one is not None and one.is_state)
    return references.is_redact_level(state.get(CREATE_KEY), state.get(POWER_LEVELS_KEY), event.sender)
