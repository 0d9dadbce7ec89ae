"""Which rooms an answer is about, and which stretch of each: planned from the reader's memberships alone. Pure.

A room that the reader joined inside the window is told as if there had been no `since`: whatever a client holds of it
from before may have holes. A room left inside the window is told up to the leave.

Spec: client-server API, #get_matrixclientv3sync; the words join, left and invited rooms are its sections'.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hs_common.matrix.filters import RoomFilter
from hs_common.matrix.history_visibility import Row as Span

STILL_SO = 2**63 - 1  # `to_pos` of what holds now


class Membership(NamedTuple):
    """A row of local_membership."""

    room_id: str
    membership: str
    event_id: str
    sender: str
    stripped_state: str | None
    out_of_band: bool
    forgotten: bool
    from_pos: int
    to_pos: int


@dataclass(frozen=True, slots=True)
class Window:
    """One joined or left room: its timeline in (since, upto], its state's changes in (state_since, upto].

    0 stands for the room's beginning. `spans`: the reader's memberships, for judging what may be read. `parting`: the
    event by which the reader is out, of a left room. `was_joined`: whether anything but `parting` is to be told.
    """

    room_id: str
    since: int
    state_since: int
    upto: int
    is_left: bool = False
    parting: str | None = None
    was_joined: bool = True
    spans: tuple[Span, ...] = ()

    @property
    def fresh(self) -> bool:
        """Whether the client is told of the room as if for the first time."""
        return self.since == 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The rooms of an answer by section."""

    windows: list[Window] = field(default_factory=list)
    invites: list[Membership] = field(default_factory=list)
    knocks: list[Membership] = field(default_factory=list)


def plan(
    rows: Iterable[Membership],
    since: int | None,
    now: int,
    filter: RoomFilter,
    *,
    full_state: bool = False,
    hides_invite: Callable[[Membership], bool] = lambda row: False,
) -> Plan:
    """`rows`: the reader's memberships that hold after `since` (all, if None) and began by `now`, in their order."""
    by_room: dict[str, list[Membership]] = {}
    for row in rows:
        if filter.allows_room(row.room_id):
            by_room.setdefault(row.room_id, []).append(row)
    result = Plan()
    for room_id, room_rows in by_room.items():
        last = room_rows[-1]
        current = last.membership if last.to_pos > now else None
        if current in ("invite", "knock"):
            _plan_asked(result, last, since, full_state, hides_invite)
        elif current == "join":
            result.windows.append(_joined(room_id, room_rows, since, now, full_state))
        else:
            window = _left(room_id, room_rows, since, now, filter.include_leave, full_state)
            if window is not None:
                result.windows.append(window)
    return result


def newly_joined(rows: Sequence[Membership], since: int) -> bool:
    """Whether the room was joined inside the window."""
    return any(row.membership == "join" and row.from_pos > since for row in rows)


def _plan_asked(
    result: Plan, row: Membership, since: int | None, full_state: bool, hides_invite: Callable[[Membership], bool]
) -> None:
    if since is not None and row.from_pos <= since and not full_state:
        return
    if row.membership == "knock":
        result.knocks.append(row)
    elif not hides_invite(row):
        result.invites.append(row)


def _joined(room_id: str, rows: Sequence[Membership], since: int | None, now: int, full_state: bool) -> Window:
    start = 0 if since is None or newly_joined(rows, since) else since
    return Window(room_id, start, 0 if full_state else start, now, spans=_spans(rows))


def _left(
    room_id: str, rows: Sequence[Membership], since: int | None, now: int, include_leave: bool, full_state: bool
) -> Window | None:
    """A room that the reader left, was banned from, or whose invite came to nothing; None if it is not told of."""
    last = rows[-1]
    removed = last.to_pos <= now  # the state lost the membership, without an event
    at = last.to_pos if removed else last.from_pos
    archived = since is None or at <= since
    if archived and (not include_leave or last.forgotten):
        return None
    if archived and since is not None and not full_state:
        return None
    was_joined = any(row.membership == "join" for row in rows)
    fresh = archived or since is None or newly_joined(rows, since)
    start = 0 if fresh or since is None else since
    return Window(
        room_id,
        start,
        0 if full_state and was_joined else start,
        at,
        is_left=True,
        parting=None if removed else last.event_id,
        was_joined=was_joined,
        spans=_spans(rows),
    )


def _spans(rows: Sequence[Membership]) -> tuple[Span, ...]:
    return tuple((row.from_pos, row.to_pos, row.membership) for row in rows if not row.out_of_band)
