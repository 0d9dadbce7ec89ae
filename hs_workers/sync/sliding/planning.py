"""What is to be told of each room that a request is about, and what the connection has been sent afterwards. Pure.

Spec: MSC4186, "Room results", "Changing room configs".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hs_workers.sync.sliding.connection import LIVE, Connection, Sent
from hs_workers.sync.sliding.lists import Match, Matches, View
from hs_workers.sync.sliding.question import RoomConfig
from hs_workers.sync.sliding.required_state import NOTHING, Selectors
from hs_workers.sync.sliding.user_memory import NOT_IN
from hs_workers.sync.windows import Membership

LEFT = "leave"
# Rooms told anew in one answer: with all of their state and members that is some seconds of work at worst. A client
# whose window has more is told the rest by its next request, which does not wait.
MAXIMUM_INITIAL: Final = 250


@dataclass(frozen=True, slots=True)
class RoomPlan:
    """A room to be looked at. `since`: up to where it was told, 0 for nothing; then everything is told (`initial`).

    `is_expanded`: more of the timeline is asked for than was told. `more_state`: what was not asked for before and may
    not have been told. `is_certain`: told even if nothing is found.
    """

    room_id: str
    row: Membership | None  # None: the state lost the membership
    match: Match
    since: int
    is_expanded: bool = False
    more_state: bool = False
    told_state: Selectors = NOTHING
    is_dm: bool | None = None  # None: as it was told
    was_in: bool = True
    is_certain: bool = False

    @property
    def initial(self) -> bool:
        return self.since == 0

    @property
    def membership(self) -> str:
        return LEFT if self.row is None else self.row.membership

    @property
    def is_joined(self) -> bool:
        return self.membership == "join"

    @property
    def is_asked(self) -> bool:
        """Whether the reader is invited or has knocked."""
        return self.membership in ("invite", "knock")


@dataclass(frozen=True, slots=True)
class Plan:
    """`rooms`: those to be looked at. `matched`: all that the request is about, with where each was told before."""

    rooms: Sequence[RoomPlan]
    matched: Mapping[str, int]
    fresh: frozenset[str] = field(default_factory=frozenset)  # of those, the ones that come into sight
    deferred: frozenset[str] = frozenset()  # rooms that have to wait for the next answer


def plan(matches: Matches, view: View, connection: Connection, live: int, read: Collection[str]) -> Plan:
    """`live`: where the connection's last answer was. `read`: rooms whose unread counts are to be told anew."""
    found = []
    for room_id, match in matches.rooms.items():
        row = view.rooms.memberships.get(room_id)
        one = _room(room_id, row, match, view, connection.rooms.get(room_id), live, room_id in read)
        if one is not None:
            found.append(one)
    gone = [room_id for room_id in connection.rooms if room_id not in view.rooms.memberships]
    for room_id in gone:
        match = matches.rooms.get(room_id) or Match(RoomConfig())
        since = connection.rooms[room_id].position(live)
        found = [one for one in found if one.room_id != room_id]
        found.append(RoomPlan(room_id, None, match, since, was_in=room_id in view.were_in, is_certain=True))
    waiting = [one.room_id for one in found if one.initial and one.is_joined][MAXIMUM_INITIAL:]
    deferred = frozenset(waiting)
    found = [one for one in found if one.room_id not in deferred]
    matched = {
        room_id: connection.rooms[room_id].position(live) if room_id in connection.rooms else 0
        for room_id in matches.rooms
        if room_id not in deferred
    }
    seen = {room_id for room_id, sent in connection.rooms.items() if sent.told == LIVE}
    return Plan(found, matched, frozenset(matched.keys() - seen), deferred)


def _room(
    room_id: str, row: Membership | None, match: Match, view: View, sent: Sent | None, live: int, is_read: bool
) -> RoomPlan | None:
    """None if there is nothing to tell."""
    if row is None:
        return None  # told with those that are gone
    since = 0 if sent is None else sent.position(live)
    is_dm = room_id in view.rooms.direct
    if row.membership == "join":
        return _joined(row, match, view, sent, since, is_dm, is_read)
    if row.from_pos <= since:
        return None
    if row.membership in NOT_IN:
        was_in = room_id in view.were_in
        return RoomPlan(room_id, row, match, since, is_dm=is_dm if since == 0 else None, was_in=was_in, is_certain=True)
    return RoomPlan(room_id, row, match, since, is_dm=is_dm if is_dm or since else None, was_in=False, is_certain=True)


def _joined(
    row: Membership, match: Match, view: View, sent: Sent | None, since: int, is_dm: bool, is_read: bool
) -> RoomPlan | None:
    if sent is None or row.from_pos > since:
        return RoomPlan(row.room_id, row, match, 0, is_dm=is_dm, is_certain=True)
    activity, config = view.activity.get(row.room_id), match.config
    has_news = activity is None or activity.last > since or activity.changed > since
    is_expanded = config.timeline_limit > sent.limit
    more_state = config.required_state is not sent.required_state and not config.required_state <= sent.required_state
    if not (has_news or is_expanded or more_state or is_dm != sent.is_dm or is_read):
        return None
    return RoomPlan(
        row.room_id,
        row,
        match,
        since,
        is_expanded=is_expanded,
        more_state=more_state,
        told_state=sent.required_state,
        is_dm=None if is_dm == sent.is_dm else is_dm,
        is_certain=is_read,
    )


def after(
    connection: Connection,
    plan: Plan,
    matches: Matches,
    view: View,
    live: int,
    limited: Collection[str],
    extensions: frozenset[str],
) -> Connection:
    """What the connection has been sent with the answer. `limited`: rooms whose timeline left something out.

    What no rule matches any more was told up to the last answer; what rules match is told all there is.
    """
    rooms: dict[str, Sent] = {}
    for room_id, sent in connection.rooms.items():
        is_told = room_id in matches.rooms and room_id not in plan.deferred
        if room_id in view.rooms.memberships and not is_told:
            rooms[room_id] = replace_told(sent, live) if sent.told == LIVE else sent
    initial = {one.room_id for one in plan.rooms if one.initial}
    for room_id, match in matches.rooms.items():
        row = view.rooms.memberships.get(room_id)
        if row is None or room_id in plan.deferred:
            continue
        before = connection.rooms.get(room_id)
        limit = match.config.timeline_limit
        is_dm = room_id in view.rooms.direct
        if before is not None and room_id not in initial and room_id not in limited:
            limit = max(limit, before.limit)  # what was told before still joins on to what is told now
        now = Sent(LIVE, limit, match.config.required_state, is_dm)
        rooms[room_id] = before if before is not None and before == now else now
    return replace(connection, rooms=rooms, extensions=extensions)


def replace_told(sent: Sent, position: int) -> Sent:
    """The same, told up to a position."""
    return sent._replace(told=position)
