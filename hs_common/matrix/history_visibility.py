"""May a reader see an event: the rules on history visibility, and the lookups they need in versioned rows.

Rows are `(from_pos, to_pos, value)`, ordered by `from_pos`, not overlapping; a value holds at a position P if
`from_pos <= P < to_pos`. An event is judged at its `state_pos`, the position of the room's last state change before it.
A server is judged like a user whose membership is the best among its users (`best_membership`).

Spec: client-server API, #room-history-visibility.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

VISIBILITIES = frozenset({"world_readable", "shared", "invited", "joined"})
# "By default if no history_visibility is set, or if the value is not understood".
DEFAULT_VISIBILITY = "shared"
# Of a user without a member event. Also what `unsigned.membership` shows then.
NO_MEMBERSHIP = "leave"

_FROM_POS = itemgetter(0)


# A value and the positions at which it holds: (from_pos, to_pos, value), `to_pos` excluded.
Row = tuple[int, int, str]


def value_at(rows: Sequence[Row], position: int) -> str | None:
    """The value that holds at a position, if any."""
    index = bisect_right(rows, position, key=_FROM_POS) - 1
    if index < 0:
        return None
    _, to_pos, value = rows[index]
    return value if position < to_pos else None


def joined_after(memberships: Sequence[Row], position: int) -> bool:
    """Whether the reader joined at any point after a position. One who is joined there is allowed by that already."""
    return any(value == "join" and from_pos > position for from_pos, _, value in memberships)


def understood(value: object) -> str:
    """A history visibility, or the default for a value that is not one."""
    return value if isinstance(value, str) and value in VISIBILITIES else DEFAULT_VISIBILITY


class Point(NamedTuple):
    """The state of the room at an event, before it, as far as it concerns a reader."""

    # understood or not; None if there is no such state event.
    visibility: str | None
    # None if the reader has no member event.
    membership: str | None


def may_see(
    point: Point, joined_later: bool, *, sets_visibility: object = None, sets_membership: object = None
) -> bool:
    """Whether the reader may see an event.

    `joined_later`: whether the reader joined at any point after the event. `sets_visibility` is the
    `history_visibility` of the event if it is the m.room.history_visibility event of the room, `sets_membership` the
    `membership` if it is the reader's own m.room.member event: those are judged before and after.
    """
    visibilities = {understood(point.visibility)}
    if sets_visibility is not None:
        visibilities.add(understood(sets_visibility))
    memberships = {point.membership, sets_membership}
    return any(
        _allowed(visibility, membership, joined_later) for visibility in visibilities for membership in memberships
    )


def _allowed(visibility: str, membership: object, joined_later: bool) -> bool:
    # 1. If the history_visibility was set to world_readable, allow.
    if visibility == "world_readable":
        return True
    # 2. If the user's membership was join, allow.
    if membership == "join":
        return True
    # 3. If history_visibility was set to shared, and the user joined the room at any point after the event, allow.
    if visibility == "shared" and joined_later:
        return True
    # 4. If the user's membership was invite, and the history_visibility was set to invited, allow.
    # 5. Otherwise, deny.
    return membership == "invite" and visibility == "invited"


def user_may_see(
    event_type: str, state_key: str | None, content: Mapping[str, Any], user_id: str, point: Point, joined_later: bool
) -> bool:
    """`may_see` for a user and an event given by its parts."""
    sets_visibility, sets_membership = None, None
    if event_type == "m.room.history_visibility" and state_key == "":
        sets_visibility = content.get("history_visibility", DEFAULT_VISIBILITY)
    elif event_type == "m.room.member" and state_key == user_id:
        sets_membership = content.get("membership")
    return may_see(point, joined_later, sets_visibility=sets_visibility, sets_membership=sets_membership)


def membership_at(
    event_type: str, state_key: str | None, content: Mapping[str, Any], user_id: str, before: str | None
) -> str:
    """`unsigned.membership`: the reader's membership at an event, "including any changes caused by the event"."""
    membership = content.get("membership") if event_type == "m.room.member" and state_key == user_id else before
    return membership if isinstance(membership, str) else NO_MEMBERSHIP
