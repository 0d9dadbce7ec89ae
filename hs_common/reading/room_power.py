"""What a user may do in a room now, for what is not an event and so is not judged by the master.

Spec: client-server API, #permissions.
"""

import orjson

from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.power_levels import PowerLevels
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage import room_state
from hs_common.storage.queries import Queries

CREATE: StateKey = ("m.room.create", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")

State = dict[StateKey, Event]


async def read_state(db: Queries, room_id: str, keys: list[StateKey]) -> State | None:
    """Entries of a room's current state; None if the room is not known here."""
    version = await room_state.room_version(db, room_id)
    if version is None:
        return None
    rows = await room_state.entries(db, room_id, keys, room_state.NOW)
    return {
        (event_type, state_key): Event.from_pdu(orjson.loads(json), ROOM_VERSIONS[version], event_id)
        for event_type, state_key, event_id, json in rows
    }


def levels_of(state: State) -> PowerLevels:
    """The power levels of a state that was read with CREATE and POWER_LEVELS."""
    return PowerLevels(state[CREATE], state.get(POWER_LEVELS))


async def may_send_state(db: Queries, room_id: str, user_id: str, event_type: str) -> bool:
    """Whether a user is in a room and may send state events of a type."""
    member = ("m.room.member", user_id)
    state = await read_state(db, room_id, [CREATE, POWER_LEVELS, member])
    if state is None or CREATE not in state or member not in state or state[member].membership != "join":
        return False
    levels = levels_of(state)
    return levels.user_level(user_id) >= levels.event_level(event_type, is_state=True)
