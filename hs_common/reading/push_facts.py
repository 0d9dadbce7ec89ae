"""What push rules may ask of the events of a room besides the events themselves: who is in it, what its levels are, how
a reader is called there. Read as the room is at a position, for many rooms together.

Spec: client-server API, #conditions-1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.power_levels import PowerLevels
from hs_common.matrix.push_conditions import EventFacts
from hs_common.matrix.push_rule_evaluation import Reader
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage import sync_rooms, sync_state
from hs_common.storage.queries import Queries

CREATE, LEVELS, MEMBER = "m.room.create", "m.room.power_levels", "m.room.member"


class RoomFacts:
    """One room as it is at a position, for some readers."""

    def __init__(self, create: Event, levels: Event | None, joined: int, names: Mapping[str, str]) -> None:
        self._power = PowerLevels(create, levels)
        notifications = None if levels is None else levels.content.get("notifications")
        self._notifications = notifications if isinstance(notifications, dict) else {}
        self._joined = joined
        self._names = names

    def reader(self, user_id: str) -> Reader:
        """The user, by the name that he has in the room."""
        return Reader(user_id, self._names.get(user_id))

    def of(self, event: Mapping[str, Any]) -> EventFacts:
        """The facts of an event of the room, which is as clients get it."""
        return EventFacts(event, self._joined, self._power.user_level(event["sender"]), self._notifications)


async def room_facts(
    db: Queries, room_ids: Sequence[str], user_ids: Sequence[str], versions: Mapping[str, str], now: int
) -> dict[str, RoomFacts]:
    """Room → its facts at position `now`, with the names of these users in it."""
    wanted = ((CREATE, ""), (LEVELS, ""), *((MEMBER, user_id) for user_id in user_ids))
    keys = [(room_id, event_type, state_key, now, now) for room_id in room_ids for event_type, state_key in wanted]
    places = {row[3]: row[:3] for row in await sync_state.entries(db, keys)}
    state: dict[tuple[str, str, str], Event] = {}
    for event_id, room_id, _, _, json in await sync_rooms.events(db, list(places)):
        state[places[event_id]] = Event.from_pdu(orjson.loads(json), ROOM_VERSIONS[versions[room_id]], event_id)
    joined = {row[0]: row[1] for row in await sync_state.member_counts(db, room_ids, [now] * len(room_ids))}
    return {
        room_id: RoomFacts(
            state[room_id, CREATE, ""], state.get((room_id, LEVELS, "")), joined[room_id], _names(state, room_id)
        )
        for room_id in room_ids
    }


def _names(state: Mapping[tuple[str, str, str], Event], room_id: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for (of_room, event_type, user_id), event in state.items():
        name = event.content.get("displayname") if of_room == room_id and event_type == MEMBER else None
        if isinstance(name, str):
            names[user_id] = name
    return names
