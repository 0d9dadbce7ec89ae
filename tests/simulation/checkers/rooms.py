"""Invariant 9: rooms stay linear (one extremity, depth + 1), and the state by replay is the state by versioned rows.

Each event must also cite, as its auth events, what stood in the state when it was composed: a leader that decides on
stale heads shows here.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from hs_common.matrix import auth_rules
from hs_common.matrix.room_versions import ROOM_VERSIONS
from tests.simulation.world import World

State = dict[tuple[str, str], str]


def check(world: World) -> Iterator[str]:
    for room_id in world.database.tables.timeline:
        yield from _check_room(world, room_id)


def _check_room(world: World, room_id: str) -> Iterator[str]:
    tables = world.database.tables
    state: State = {}
    last_id, depth, state_pos = None, 0, 0
    for place in tables.timeline[room_id]:
        pdu = orjson.loads(tables.events[place.event_id][1])
        name = f"{place.event_id} in {room_id}"
        if pdu["prev_events"] != ([] if last_id is None else [last_id]):
            yield f"{name} follows {pdu['prev_events']}, but the event before it is {last_id}"
        if pdu["depth"] != depth + 1:
            yield f"{name} has depth {pdu['depth']}, the event before it {depth}"
        if place.state_pos != state_pos:
            yield f"{name} says that the state changed last at {place.state_pos}, but that was at {state_pos}"
        yield from _check_state(world, room_id, pdu, place.order_pos - 1, state, name)
        last_id, depth = place.event_id, pdu["depth"]
        if "state_key" in pdu:
            state[pdu["type"], pdu["state_key"]] = place.event_id
            state_pos = place.order_pos


def _check_state(
    world: World, room_id: str, pdu: dict[str, Any], before_pos: int, state: State, name: str
) -> Iterator[str]:
    if "state_key" in pdu and world.database.tables.state_at(room_id, before_pos) != state:
        yield f"the rows of the state before {name} are not what a replay makes"
    version = ROOM_VERSIONS[world.database.tables.rooms[room_id]]
    keys = auth_rules.auth_state_keys(version, pdu["type"], pdu["sender"], pdu.get("state_key"), pdu["content"])
    cited = [state[key] for key in keys if key in state]
    if pdu["auth_events"] != cited and pdu["content"].get("membership") is None:
        yield f"{name} cites {pdu['auth_events']}, but the state has {cited}"
