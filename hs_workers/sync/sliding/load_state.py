"""Reads the state that is told with rooms: all that is wanted of those told anew, what changed of the others, and the
members that come with a timeline.

Spec: MSC4186, "Changes to `required_state`", "Lazy loaded memberships".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hs_common.storage import sliding, sync_state
from hs_common.storage.queries import Queries
from hs_workers.sync.room_state import StateRow
from hs_workers.sync.room_summaries import SUMMARISED
from hs_workers.sync.sliding.planning import RoomPlan
from hs_workers.sync.sliding.required_state import MEMBER, Selectors, is_lazy, need, wants
from hs_workers.sync.timeline import Timeline

# (room, user) → the membership event that the client has.
Members = Mapping[tuple[str, str], str]
NAMES: Final = ("m.room.name", "m.room.avatar")


@dataclass(slots=True)
class RoomState:
    """What is told of a room's state. `ended`: entries that are no more; `removed`: those of them that are told.

    `named`: by type what names the room, if it is news. `is_resummarised`: heroes and counts may have changed.
    """

    rows: list[StateRow] = field(default_factory=list)
    ended: Sequence[tuple[str, str]] = ()
    removed: Sequence[tuple[str, str]] = ()
    named: dict[str, StateRow] = field(default_factory=dict)
    is_resummarised: bool = False


async def load_states(
    db: Queries, plans: Sequence[RoomPlan], timelines: Mapping[str, Timeline], known: Members
) -> dict[str, RoomState]:
    """Room → state."""
    told = [one for one in plans if one.was_in]
    whole = [one for one in told if one.initial or one.more_state]
    changed = [one for one in told if not one.initial]
    chosen: dict[str, dict[tuple[str, str], StateRow]] = {one.room_id: {} for one in plans}
    states = {one.room_id: RoomState() for one in plans}
    by_room = await _whole(db, whole, timelines)
    for one in whole:
        for row in by_room[one.room_id]:
            if wants(one.match.config.required_state, row.type, row.state_key) and not _was_told(one, row):
                chosen[one.room_id][row.key] = row
            if one.initial and row.key in {(name, "") for name in NAMES}:
                states[one.room_id].named[row.type] = row
    await _add_changes(db, changed, timelines, chosen, states)
    for row in await _members(db, told, timelines):
        is_known = known.get((row.room_id, row.state_key)) == row.event_id
        timeline = timelines[row.room_id]
        if not is_known or timeline.limited or timeline.window.state_since == 0:
            chosen[row.room_id].setdefault(row.key, row)
    for room_id, rows_by_key in chosen.items():
        states[room_id].rows = list(rows_by_key.values())
    _add_partings([one for one in plans if not one.was_in], timelines, states)
    return states


def _was_told(plan: RoomPlan, row: StateRow) -> bool:
    """Whether the client has the entry, by what it asked for until now; what changed since comes with the changes."""
    return not plan.initial and wants(plan.told_state, row.type, row.state_key)


async def _whole(
    db: Queries, plans: Sequence[RoomPlan], timelines: Mapping[str, Timeline]
) -> dict[str, list[StateRow]]:
    """What the plans may want of their rooms' state, by room, each at the end of its window."""
    found: dict[str, dict[tuple[str, str], StateRow]] = {one.room_id: {} for one in plans}
    everything: list[RoomPlan] = []
    members: list[RoomPlan] = []
    types: list[tuple[str, str, int]] = []
    keys: list[tuple[str, str, str, int, int]] = []
    for one in plans:
        wanted, at = need(one.match.config.required_state), timelines[one.room_id].window.upto
        if wanted.everything:
            (members if wanted.members else everything).append(one)
        types += [(one.room_id, event_type, at) for event_type in wanted.types]
        names = {(name, "") for name in NAMES} if one.initial else set()
        keys += [(one.room_id, event_type, key, at, at) for event_type, key in wanted.keys | names]
    rows: list[Any] = list(await sync_state.entries(db, keys))
    if types:
        rows += await sliding.of_types(db, types)
    for read, of_kind in ((sync_state.without_members, everything), (sync_state.whole, members)):
        if of_kind:
            at_ends = [timelines[one.room_id].window.upto for one in of_kind]
            rows += await read(db, [one.room_id for one in of_kind], at_ends, at_ends)
    for row in rows:
        state_row = StateRow(*row)
        if state_row.holds_at(timelines[state_row.room_id].window.upto):
            found[state_row.room_id][state_row.key] = state_row
    return {room_id: list(rows_by_key.values()) for room_id, rows_by_key in found.items()}


async def _add_changes(
    db: Queries,
    plans: Sequence[RoomPlan],
    timelines: Mapping[str, Timeline],
    chosen: dict[str, dict[tuple[str, str], StateRow]],
    states: dict[str, RoomState],
) -> None:
    if not plans:
        return
    by_room = {one.room_id: one for one in plans}
    windows = [timelines[one.room_id].window for one in plans]
    room_ids = [window.room_id for window in windows]
    lows, highs = [window.state_since for window in windows], [window.upto for window in windows]
    for found in await sync_state.changes(db, room_ids, lows, highs):
        row = StateRow(*found)
        timeline, state = timelines[row.room_id], states[row.room_id]
        state.is_resummarised |= row.type in SUMMARISED
        if not row.holds_at(timeline.window.upto):
            continue
        if row.state_key == "" and row.type in NAMES:
            state.named[row.type] = row
        selectors = by_room[row.room_id].match.config.required_state
        if wants(selectors, row.type, row.state_key) or _is_lazy_change(selectors, row, timeline):
            chosen[row.room_id][row.key] = row
    ended: dict[str, list[tuple[str, str]]] = {}
    for room_id, event_type, state_key in await sliding.removed(db, room_ids, lows, highs):
        ended.setdefault(room_id, []).append((event_type, state_key))
    for room_id, entries in ended.items():
        selectors, state = by_room[room_id].match.config.required_state, states[room_id]
        state.ended = entries
        state.removed = [key for key in entries if wants(selectors, *key) or (key[0] == MEMBER and is_lazy(selectors))]
        state.is_resummarised |= any(event_type in SUMMARISED for event_type, _ in entries)


def _is_lazy_change(selectors: Selectors, row: StateRow, timeline: Timeline) -> bool:
    """Members that changed are all told, unless something was left out: then the client asks for them when it must."""
    return row.type == MEMBER and not timeline.limited and is_lazy(selectors)


async def _members(db: Queries, plans: Iterable[RoomPlan], timelines: Mapping[str, Timeline]) -> list[StateRow]:
    """The members that the events of the timelines need, where members are loaded lazily."""
    keys = []
    for one in plans:
        if is_lazy(one.match.config.required_state):
            timeline = timelines[one.room_id]
            at = timeline.window.upto
            users = {event.row.sender for event in timeline.events}
            users |= {event.row.state_key or "" for event in timeline.events if event.row.type == MEMBER}
            keys += [(one.room_id, MEMBER, user, at, at) for user in sorted(users)]
    return [StateRow(*row) for row in await sync_state.entries(db, keys)]


def _add_partings(plans: Sequence[RoomPlan], timelines: Mapping[str, Timeline], states: dict[str, RoomState]) -> None:
    """Of rooms that the reader was never in: the event by which his invite or knock ended, if he asks for such."""
    for one in plans:
        for event in timelines[one.room_id].events:
            row = event.row
            key = (row.type, row.state_key or "")
            if wants(one.match.config.required_state, *key):
                state_row = StateRow(row.room_id, *key, row.event_id, None, row.order_pos, row.order_pos + 1)
                states[one.room_id].rows.append(state_row)
