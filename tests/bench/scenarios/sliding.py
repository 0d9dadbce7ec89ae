"""What it costs to open a client that syncs by windows: the first one of somebody in very many rooms.

It asks as clients built on matrix-rust-sdk do. Each request begins a connection anew and asks for one state event that
no other does, so that no server can have its answer ready.
"""

import itertools
from typing import Any

from tests.bench.population import Population
from tests.bench.size import Size
from tests.bench.work import Work, closed_loop

_IN_FLIGHT = 1
_WINDOW = 20
_numbers = itertools.count(1)


def _first_window(connection: int) -> dict[str, Any]:
    """The request for the rooms at the top of the list."""
    required_state = [
        ["m.room.name", ""],
        ["m.room.encryption", ""],
        ["m.room.member", "$LAZY"],
        ["m.room.member", "$ME"],
        ["m.room.topic", ""],
        ["m.room.avatar", ""],
        ["m.room.canonical_alias", ""],
        ["m.room.power_levels", ""],
        ["m.room.join_rules", ""],
        ["m.room.create", ""],
        [f"org.example.number_{next(_numbers)}", ""],
    ]
    filters = {"not_room_types": ["m.space"]}
    extensions = ("e2ee", "to_device", "account_data", "receipts", "typing")
    return {
        "conn_id": f"room-list-{connection}",
        "lists": {
            "all_rooms": {
                "ranges": [[0, _WINDOW - 1]],
                "timeline_limit": 1,
                "required_state": required_state,
                "filters": filters,
            }
        },
        "extensions": {name: {"enabled": True} for name in extensions},
    }


async def sliding_sync(population: Population, size: Size) -> list[Work]:
    """The first answer of a connection."""
    many = await population.many_rooms()
    rooms = await many.rooms(size.sliding_rooms)
    await many.speak(rooms[: size.initial_rooms], size.messages)
    lanes = [many.owner.another() for _ in range(_IN_FLIGHT)]

    async def step(lane: int) -> None:
        await lanes[lane].fetch_sliding_sync(_first_window(lane))

    name = f"sliding-sync, first {_WINDOW} of {size.sliding_rooms} rooms"
    return [Work(name, "answer", closed_loop(_IN_FLIGHT, step))]
