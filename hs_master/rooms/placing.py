"""Where an event belongs that does not simply continue its room: the state before it, and what the room becomes by it.

States are handled as differences from the room's current state, so a fork costs what it changed, not what the room
holds; whole states are read only when branches disagree and have to be resolved. What the rules do not allow is not
placed any further: a room is not resolved with an event that does not enter it. Everything is read before the event is
decided; `Placement.basis` tells whether the room has moved on since. Spec: server-server-api.md#room-state-resolution.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from hs_common.matrix.event import Event, StateKey, StateMap
from hs_common.matrix.room_versions import RoomVersion
from hs_common.storage import room_forks
from hs_common.storage.queries import Queries
from hs_master.rooms.head import Held
from hs_master.rooms.judging import AuthEvents, Judgement, judge_by_own_past, judge_by_present
from hs_master.rooms.resolving import Resolver

# Forward extremities of a room: the next local event cites them all. Beyond, the oldest are given up.
MAXIMUM_EXTREMITIES: Final = 10

# Rejected and soft failed events in a row that an event may follow so that its room goes on from what they cite; who
# cites more of them leaves an older event among the newest until our next one.
MAXIMUM_ASIDE: Final = 10

# What a state has instead of the room's current state: event ids, None where it has nothing.
Difference = dict[StateKey, "str | None"]
Basis = tuple[tuple[str, ...], int]


class Placement(NamedTuple):
    """Decided on a room whose head was at `basis`."""

    basis: Basis
    before: dict[StateKey, Event | None]
    """The state before the event: what is not as in the room's current state."""
    columns: tuple[int, int | None] | None
    """The state before as an earlier row tells it already (position, delta); None: a delta must be written."""
    changes: dict[StateKey, Event | None]
    """What the accepted event changes in the room's current state."""
    extremities: tuple[str, ...]
    kept_aside: tuple[Event, ...]
    """Cited events that nobody is shown: rejected or soft failed ones."""
    current: dict[StateKey, Event | None]
    """What the room's current state is taken to be when the event is judged by it, where that is not as it is."""
    judgement: Judgement | None
    """Of the event that was placed, by the rules: what is not accepted has no `changes`, and is not among the newest.
    None for one that follows it on its branch."""


class Unplaced(NamedTuple):
    """The event cites events whose state is not known here."""

    missing: list[str]


class _Standing(NamedTuple):
    """An event that is cited, as its rows have it."""

    event: Event
    status: int
    pos: int | None
    state_pos: int
    delta_id: int | None

    @property
    def changes_state(self) -> bool:
        return self.event.is_state and self.status != room_forks.REJECTED


def basis_of(room: Held) -> Basis:
    """What a placement is computed on."""
    return room.extremities, room.state_pos


class Placer:
    """Places events of one room after the other; many at the same time."""

    def __init__(self, db: Queries, resolver: Resolver) -> None:
        self._db = db
        self._resolver = resolver

    async def place(
        self,
        room: Held,
        event: Event,
        auth: AuthEvents,
        given: Sequence[str] | None = None,
        *,
        has_holes: bool = False,
    ) -> Placement | Unplaced:
        """`given` are the ids of the state before the event, where another server told it; with holes, what it lacks is
        as in the room's current state. Raises DatabaseError, and NotLoaded if what the rules look at is not in memory.
        """
        basis = basis_of(room)
        others = [event_id for event_id in room.extremities if event_id not in event.prev_event_ids]
        others = others[-(MAXIMUM_EXTREMITIES - 1) :]
        cited = [*event.prev_event_ids] if given is None else []
        standings = await self._standings(room.version, [*cited, *others])
        missing = [event_id for event_id in cited if event_id not in standings]
        if missing:
            return Unplaced(missing)
        prevs = [standings[event_id] for event_id in dict.fromkeys(cited)]
        behind = await self._behind(room.version, prevs) if others else set()
        others = [event_id for event_id in others if event_id not in behind]
        if given is None:
            before = await self._joined(room, [await self._difference(room, prev) for prev in prevs], {})
        else:
            before = await self._difference_from(room, given)
            if has_holes:
                before = {key: event_id for key, event_id in before.items() if event_id is not None}
        events = await self._events(room.version, before, {event.event_id: event})
        state_before = _with_events(before, events)
        judgement = judge_by_own_past(room, event, auth, state_before)
        changes: Difference = {}
        current: Difference = {}
        if judgement.status == "accepted":
            branches = [await self._difference(room, standings[other]) for other in others if other in standings]
            # Over a gap the current state here knows nothing of what happened meanwhile: who joined in it may speak.
            current = await self._joined(room, [before, *branches, {}], {}) if given is not None else {}
            events = await self._events(room.version, current, events)
            judgement = judge_by_present(room, event, state_before, _with_events(current, events))
        if judgement.status == "accepted":
            after = {**before, event.key: event.event_id} if event.is_state else before
            changes = await self._joined(room, [after, *branches], {event.event_id: event})
            events = await self._events(room.version, changes, events)
        return Placement(
            basis,
            state_before,
            await self._columns(room, before, prevs),
            _with_events(changes, events),
            (*others, event.event_id),
            tuple(prev.event for prev in prevs if prev.status in room_forks.ASIDE),
            _with_events(current, events),
            judgement,
        )

    async def _behind(self, version: RoomVersion, prevs: Sequence[_Standing]) -> set[str]:
        """What cited rejected and soft failed events cite: the room has gone on from it by the event that cites them,
        as they themselves never were among its newest."""
        behind: set[str] = set()
        for _ in range(MAXIMUM_ASIDE):
            cited = {
                event_id for prev in prevs if prev.status in room_forks.ASIDE for event_id in prev.event.prev_event_ids
            }
            if cited <= behind:
                break
            prevs = [*(await self._standings(version, sorted(cited - behind))).values()]
            behind |= cited
        return behind

    async def missing(self, room: Held, event: Event) -> list[str]:
        """The prev events whose state is not known here."""
        standings = await self._standings(room.version, event.prev_event_ids)
        return [event_id for event_id in event.prev_event_ids if event_id not in standings]

    async def _standings(self, version: RoomVersion, event_ids: Sequence[str]) -> dict[str, _Standing]:
        rows = await room_forks.places(self._db, event_ids) if event_ids else []
        return {
            event_id: _Standing(
                Event.from_pdu(orjson.loads(json), version, event_id),
                status,
                pos,
                state_pos,
                delta_id,
            )
            for event_id, status, json, pos, state_pos, delta_id in rows
        }

    async def _difference(self, room: Held, standing: _Standing) -> Difference:
        """The state after an event, as what is not as it is now."""
        overrides: Difference = {}
        if standing.delta_id is not None:
            rows = await room_forks.deltas(self._db, [standing.delta_id])
            overrides = {(event_type, state_key): event_id for _, event_type, state_key, event_id in rows}
        if standing.changes_state:
            overrides[standing.event.key] = standing.event.event_id
        then: Difference = {}
        now: Difference = {}
        for event_type, state_key, old, new in await room_forks.changed_since(
            self._db, room.room_id, standing.state_pos
        ):
            then[event_type, state_key], now[event_type, state_key] = old, new
        now.update(await self._current(room.room_id, [key for key in overrides if key not in now]))
        return {key: value for key, value in {**then, **overrides}.items() if value != now[key]}

    async def _current(self, room_id: str, keys: Sequence[StateKey]) -> Difference:
        found: Difference = dict.fromkeys(keys)
        if keys:
            for event_type, state_key, event_id in await room_forks.current_entries(self._db, room_id, keys):
                found[event_type, state_key] = event_id
        return found

    async def _difference_from(self, room: Held, event_ids: Sequence[str]) -> Difference:
        """A whole state as what is not as it is now."""
        facts = await room_forks.state_facts(self._db, event_ids)
        told = {
            (event_type, state_key): event_id
            for event_id, status, event_type, state_key, _ in facts
            if state_key is not None and status != room_forks.REJECTED
        }
        return _difference(told, await self._whole(room.room_id))

    async def _whole(self, room_id: str) -> StateMap:
        rows = await room_forks.current_state(self._db, room_id)
        return {(event_type, state_key): event_id for event_type, state_key, event_id, _ in rows}

    async def _joined(self, room: Held, branches: Sequence[Difference], known: Mapping[str, Event]) -> Difference:
        """What branches make together: most agree, and nothing is resolved."""
        if all(branch == branches[0] for branch in branches):
            return branches[0]
        current = await self._whole(room.room_id)
        different = [branch for number, branch in enumerate(branches) if branch not in branches[:number]]
        resolved = await self._resolver.resolve(room.version, [_applied(current, one) for one in different], known)
        return _difference(resolved, current)

    async def _columns(
        self, room: Held, before: Difference, prevs: Sequence[_Standing]
    ) -> tuple[int, int | None] | None:
        if not before:
            return room.state_pos, None
        told = {(prev.state_pos, prev.delta_id) for prev in prevs}
        if len(told) == 1 and not any(prev.changes_state for prev in prevs):
            return told.pop()
        if len(prevs) == 1 and await self._is_all_that_changed(room.room_id, prevs[0]):
            assert prevs[0].pos is not None, "what changed the resolved state is in the timeline"
            return prevs[0].pos, None
        return None

    async def _is_all_that_changed(self, room_id: str, prev: _Standing) -> bool:
        """Whether the resolved state at the event's position is the state before it with the event in it."""
        if prev.pos is None or prev.delta_id is not None:
            return False
        rows = await room_forks.changes_between(self._db, room_id, prev.state_pos, prev.pos)
        begun = [row for row in rows if prev.state_pos < row[3] <= prev.pos]
        return (
            len(begun) == 1
            and begun[0][2] == prev.event.event_id
            and begun[0][3] == prev.pos
            and all((row[0], row[1]) == prev.event.key for row in rows)
        )

    async def _events(self, version: RoomVersion, difference: Difference, known: dict[str, Event]) -> dict[str, Event]:
        """The events of a difference, beside those that are known already."""
        unread = sorted({event_id for event_id in difference.values() if event_id is not None} - known.keys())
        if not unread:
            return known
        rows = await room_forks.events(self._db, unread)
        return known | {event_id: Event.from_pdu(orjson.loads(json), version, event_id) for event_id, _, json in rows}


def _with_events(difference: Difference, events: Mapping[str, Event]) -> dict[StateKey, Event | None]:
    return {key: None if event_id is None else events[event_id] for key, event_id in difference.items()}


def _applied(current: StateMap, difference: Difference) -> StateMap:
    state = {key: event_id for key, event_id in {**current, **difference}.items() if event_id is not None}
    return state


def _difference(state: StateMap, current: StateMap) -> Difference:
    changed: Difference = {key: event_id for key, event_id in state.items() if current.get(key) != event_id}
    changed.update((key, None) for key in current if key not in state)
    return changed
