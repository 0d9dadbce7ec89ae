"""The form of the tables in this package that show the authorisation rules: one event, in one state, allowed or
refused."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import RoomVersion
from tests.common.matrix.room import (
    ALICE,
    ALL_VERSIONS,
    BOB,
    Row,
    create_event,
    join_rules,
    make_event,
    member,
    power_levels,
)

NOWHERE: tuple[RoomVersion, ...] = ()
EVERYWHERE = ALL_VERSIONS

# Alice created the room and is its administrator, Bob moderates it, and others come by invitation.
USUAL_STATE = (
    member("alice", ALICE, "join"),
    member("bob", BOB, "join"),
    power_levels("levels", ALICE, {ALICE: 100, BOB: 50}),
    join_rules("rules", ALICE, "invite"),
)


@dataclass(frozen=True)
class AuthCase:
    """An event that is allowed in some room versions, and refused for `reason` in the others."""

    shows: str
    event: Row
    # What differs from USUAL_STATE.
    given: Sequence[Row] = ()
    allowed_in: Sequence[RoomVersion] = EVERYWHERE
    reason: str = ""
    # Keys of USUAL_STATE that are not there.
    lacking: Sequence[StateKey] = ()
    # Added to the content of the create event.
    create: dict[str, object] | None = None
    only_in: Sequence[RoomVersion] = EVERYWHERE

    def state(self, version: RoomVersion) -> dict[StateKey, Event]:
        """The state before the event."""
        create = create_event(version, **(self.create or {}))
        events = [create, *(event_of(row, version) for row in (*USUAL_STATE, *self.given))]
        return {event.key: event for event in events if event.key not in self.lacking}


def event_of(row: Row, version: RoomVersion) -> Event:
    """The event of a row, somewhere in the room unless `after` says where."""
    if row.type == "m.room.power_levels" and isinstance(row.content.get("users"), dict):
        users = row.content["users"]
        if version.privileged_creators:
            users = {user_id: level for user_id, level in users.items() if user_id != ALICE}
        row = replace(row, content={**row.content, "users": users})
    after = ("somewhere",) if row.after is None else row.after
    return make_event(version, row.name, row.sender, row.type, row.state_key, row.content, after=after)
