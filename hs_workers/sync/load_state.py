"""Reads the state that goes with the timelines of an answer, and the summaries of the rooms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hs_common.storage import sync_state
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
from hs_workers.sync.room_summaries import SUMMARISED, Moment, RoomSummaries
from hs_workers.sync.timeline import Timeline


@dataclass(slots=True)
class RoomStates:
    """Of each room what `state` or `state_after` tells, and its summary where that may have changed."""

    chosen: dict[str, list[StateRow]] = field(default_factory=dict)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)


async def load_states(
    db: Queries,
    summaries: RoomSummaries,
    timelines: Sequence[Timeline],
    wishes: Wishes,
    reader: str,
    known: Members,
) -> RoomStates:
    """`known`: the members that the device has already, which lazy loading may leave out."""
    rows = await _load_rows(db, timelines, wishes)
    states = RoomStates()
    heroes = await _load_summaries(summaries, _to_summarise(timelines, rows), reader, states)
    if wishes.lazy:
        await _add_members(db, timelines, rows, heroes, reader)
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


def _to_summarise(timelines: Iterable[Timeline], rows: Mapping[str, list[StateRow]]) -> dict[str, Moment]:
    """Joined rooms of which the client knows nothing yet, or whose members or name changed, and when."""
    moments = {}
    for timeline in timelines:
        window = timeline.window
        changes = [row.from_pos for row in rows.get(window.room_id, ()) if row.type in SUMMARISED]
        if not window.is_left and (changes or window.state_since == 0):
            # Of a whole state not all members are among the rows: nobody knows from them when the last one changed.
            moments[window.room_id] = Moment(window.upto, None if window.state_since == 0 else max(changes))
    return moments


async def _load_summaries(
    summaries: RoomSummaries, moments: Mapping[str, Moment], reader: str, states: RoomStates
) -> dict[str, list[str]]:
    """Puts the summaries into `states`; returns the heroes of the rooms that need some."""
    heroes = {}
    for room_id, summary in (await summaries.of(moments)).items():
        states.summaries[room_id] = summary.told(reader)
        heroes[room_id] = summary.heroes(reader)
    return heroes
