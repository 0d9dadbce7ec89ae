"""Which state events go with a timeline: in `state`, so that the timeline can be played from its start, or in
`state_after`, so that nothing has to be played. Pure.

Two things cannot be told by `state`: an entry that was removed, and one that was reset to an older event behind a newer
one in the timeline. `state_after` tells the second; nothing tells the first.

Spec: client-server API, #get_matrixclientv3sync (`state`, `state_after`), #lazy-loading-room-members.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from hs_workers.sync.timeline import Timeline

MEMBER = "m.room.member"


class StateRow(NamedTuple):
    """What the resolved state held at (type, state_key) in from_pos <= position < to_pos."""

    room_id: str
    type: str
    state_key: str
    event_id: str
    membership: str | None
    from_pos: int
    to_pos: int

    @property
    def key(self) -> tuple[str, str]:
        """Its place in the state."""
        return (self.type, self.state_key)

    def holds_at(self, position: int) -> bool:
        """Whether the state at a position has it."""
        return self.from_pos <= position < self.to_pos


def state_before(rows: Iterable[StateRow], timeline: Timeline) -> dict[tuple[str, str], StateRow]:
    """The rows for `state`: what held at the timeline's start, and what holds at its end without being told by it.

    `rows`: those that hold at the start or begin later, of what may be new to the client.
    """
    told_ids = {event.row.event_id for event in timeline.events}
    told_keys = {(event.row.type, event.row.state_key) for event in timeline.events if event.row.state_key is not None}
    chosen: dict[tuple[str, str], StateRow] = {}
    for row in sorted(rows, key=lambda row: row.from_pos):
        is_told = row.key in told_keys or row.event_id in told_ids
        if row.holds_at(timeline.start) or (row.holds_at(timeline.window.upto) and not is_told):
            chosen[row.key] = row
    return chosen


def state_after(rows: Iterable[StateRow], timeline: Timeline) -> dict[tuple[str, str], StateRow]:
    """The rows for `state_after`: what holds at the window's end."""
    return {row.key: row for row in rows if row.holds_at(timeline.window.upto)}


def wanted_members(timeline: Timeline, reader: str, heroes: Collection[str], *, full: bool) -> set[str]:
    """Whose membership goes with a timeline when members are loaded lazily, whether it changed or not.

    The senders; all who changed in the gap before a limited timeline are told anyway. With the whole state also the
    reader, "to aid discovering the user's avatar & displayname", and the heroes by whom the room is named.
    """
    wanted = {event.row.sender for event in timeline.events}
    if full:
        wanted.add(reader)
    return wanted | set(heroes)


def without_other_members(
    chosen: dict[tuple[str, str], StateRow], wanted: Collection[str], *, full: bool
) -> dict[tuple[str, str], StateRow]:
    """Of the whole state only the members wanted; changes are all told, wanted or not."""
    if not full:
        return chosen
    return {key: row for key, row in chosen.items() if key[0] != MEMBER or key[1] in wanted}
