"""Reads the state that goes with the timelines of an answer, and the summaries of the rooms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from hs_common.storage import sync_rooms, sync_state
from hs_common.storage.queries import Queries
from hs_workers.sync.members_sent import Members
from hs_workers.sync.parameters import Wishes
from hs_workers.sync.room_state import (
    MEMBER,
    StateRow,
    state_after,
    state_before,
    wanted_members,
    without_other_members,
)
from hs_workers.sync.timeline import Timeline

HEROES: Final = 5
NAMES: Final = (("m.room.name", "name"), ("m.room.canonical_alias", "alias"))


@dataclass(slots=True)
class RoomStates:
    """Of each room what `state` or `state_after` tells, and its summary where that may have changed."""

    chosen: dict[str, list[StateRow]] = field(default_factory=dict)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)


async def load_states(
    db: Queries, timelines: Sequence[Timeline], wishes: Wishes, reader: str, known: Members
) -> RoomStates:
    """`known`: the members that the device has already, which lazy loading may leave out."""
    rows = await _load_rows(db, timelines, wishes)
    states = RoomStates()
    heroes = await _load_summaries(db, _to_summarise(timelines, rows), reader, states)
    if wishes.lazy:
        await _add_members(db, timelines, rows, heroes, reader, wishes)
    choose = state_after if wishes.use_state_after else state_before
    filter = wishes.filter.room.state
    for timeline in timelines:
        window = timeline.window
        if not filter.rooms.allows(window.room_id) or not window.was_joined:
            continue
        chosen = choose(rows.get(window.room_id, ()), timeline)
        if wishes.lazy:
            wanted = _wanted(timeline, reader, heroes)
            chosen = without_other_members(chosen, wanted, full=window.state_since == 0)
            chosen = _without_known(chosen, timeline, wishes, known)
        states.chosen[window.room_id] = [row for row in chosen.values() if filter.types.allows(row.type)]
    return states


async def _load_rows(db: Queries, timelines: Iterable[Timeline], wishes: Wishes) -> dict[str, list[StateRow]]:
    told = [timeline for timeline in timelines if timeline.window.was_joined]
    full = [timeline for timeline in told if timeline.window.state_since == 0]
    changed = [timeline.window for timeline in told if timeline.window.state_since > 0]
    found: list[Any] = []
    if changed:
        found += await sync_state.changes(
            db,
            [window.room_id for window in changed],
            [window.state_since for window in changed],
            [window.upto for window in changed],
        )
    if full:
        read = sync_state.without_members if wishes.lazy else sync_state.whole
        found += await read(
            db,
            [timeline.window.room_id for timeline in full],
            [timeline.start for timeline in full],
            [timeline.window.upto for timeline in full],
        )
    rows: dict[str, list[StateRow]] = {}
    for row in found:
        rows.setdefault(row[0], []).append(StateRow(*row))
    return rows


def _wanted(timeline: Timeline, reader: str, heroes: Mapping[str, list[str]]) -> set[str]:
    window = timeline.window
    return wanted_members(timeline, reader, heroes.get(window.room_id, ()), full=window.state_since == 0)


async def _add_members(
    db: Queries,
    timelines: Iterable[Timeline],
    rows: dict[str, list[StateRow]],
    heroes: Mapping[str, list[str]],
    reader: str,
    wishes: Wishes,
) -> None:
    """Adds to `rows` the members that lazy loading wants and that are not changes."""
    keys = [
        (timeline.window.room_id, MEMBER, user_id, timeline.start, timeline.window.upto)
        for timeline in timelines
        if timeline.window.was_joined
        for user_id in sorted(_wanted(timeline, reader, heroes))
    ]
    for row in await sync_state.entries(db, keys):
        known = rows.setdefault(row[0], [])
        state_row = StateRow(*row)
        if state_row not in known:
            known.append(state_row)


def _without_known(
    chosen: dict[tuple[str, str], StateRow], timeline: Timeline, wishes: Wishes, known: Members
) -> dict[tuple[str, str], StateRow]:
    """Leaves out members that are on the device as they are; never what changed in this window."""
    window = timeline.window
    if wishes.filter.room.state.include_redundant_members or window.state_since == 0:
        return chosen
    return {
        key: row
        for key, row in chosen.items()
        if key[0] != MEMBER
        or row.from_pos > window.state_since
        or known.get((row.room_id, row.state_key)) != row.event_id
    }


# --- summaries ----------------------------------------------------------------------------------------------------


def _to_summarise(timelines: Iterable[Timeline], rows: Mapping[str, list[StateRow]]) -> list[Timeline]:
    """Joined rooms of which the client knows nothing yet, or whose members or name changed."""
    types = (MEMBER, *(event_type for event_type, _ in NAMES))
    return [
        timeline
        for timeline in timelines
        if not timeline.window.is_left
        and (
            timeline.window.state_since == 0 or any(row.type in types for row in rows.get(timeline.window.room_id, ()))
        )
    ]


async def _load_summaries(
    db: Queries, timelines: Sequence[Timeline], reader: str, states: RoomStates
) -> dict[str, list[str]]:
    """Puts the summaries into `states`; returns the heroes of the rooms that need some."""
    if not timelines:
        return {}
    uptos = {timeline.window.room_id: timeline.window.upto for timeline in timelines}
    for room_id, joined, invited in await sync_state.member_counts(db, list(uptos), list(uptos.values())):
        states.summaries[room_id] = {"m.joined_member_count": joined, "m.invited_member_count": invited}
    named = await _named_rooms(db, uptos)
    nameless = {room_id: upto for room_id, upto in uptos.items() if room_id not in named}
    heroes = await _heroes(db, nameless, reader)
    for room_id, user_ids in heroes.items():
        states.summaries[room_id]["m.heroes"] = user_ids
    return heroes


async def _named_rooms(db: Queries, uptos: Mapping[str, int]) -> set[str]:
    """The rooms that have a name or an alias to be called by."""
    keys = [(room_id, event_type, "", upto, upto) for room_id, upto in uptos.items() for event_type, _ in NAMES]
    rows = await sync_state.entries(db, keys)
    places = {row[3]: (row[0], row[1]) for row in rows}
    named: set[str] = set()
    fields = dict(NAMES)
    for event_id, _, _, _, json, _, _ in await sync_rooms.events(db, list(places)) if places else ():
        room_id, event_type = places[event_id]
        if orjson.loads(json)["content"].get(fields[event_type]):
            named.add(room_id)
    return named


async def _heroes(db: Queries, uptos: Mapping[str, int], reader: str) -> dict[str, list[str]]:
    """The first members besides the reader; if none are there, the first who have been."""
    heroes: dict[str, list[str]] = {room_id: [] for room_id in uptos}
    for memberships in (("join", "invite"), ("leave", "ban")):
        empty = [room_id for room_id, user_ids in heroes.items() if not user_ids]
        if not empty:
            break
        rows = await sync_state.oldest_members(db, empty, [uptos[room] for room in empty], memberships, HEROES + 1)
        for room_id, user_id in rows:
            if user_id != reader and len(heroes[room_id]) < HEROES:
                heroes[room_id].append(user_id)
    return heroes
