"""What it costs to open a client that syncs by windows: the first one of somebody in very many rooms.

It asks as clients built on matrix-rust-sdk do. Each request begins a connection anew and asks for one state event that
no other does, so that no server can have its answer ready.
"""

import itertools
from typing import Any

from tests.bench.matrix_client import Client
from tests.bench.population import ManyRooms, Population
from tests.bench.size import Size
from tests.bench.work import Work, closed_loop

_IN_FLIGHT = 1
WINDOW = 20
_numbers = itertools.count(1)


def first_window(connection: int) -> dict[str, Any]:
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
                "ranges": [[0, WINDOW - 1]],
                "timeline_limit": 1,
                "required_state": required_state,
                "filters": filters,
            }
        },
        "extensions": {name: {"enabled": True} for name in extensions},
    }


async def first_asker(population: Population, size: Size) -> Client:
    """Somebody in very many rooms."""
    return (await _many_rooms(population, size)).owner


async def _many_rooms(population: Population, size: Size) -> ManyRooms:
    many = await population.many_rooms()
    rooms = await many.rooms(size.sliding_rooms)
    await many.speak(rooms[: size.initial_rooms], size.messages)
    return many


async def sliding_sync(population: Population, size: Size) -> list[Work]:
    """The first answer of a connection."""
    many = await _many_rooms(population, size)
    lanes = [many.owner.another() for _ in range(_IN_FLIGHT)]

    async def step(lane: int) -> None:
        await lanes[lane].fetch_sliding_sync(first_window(lane))

    name = f"sliding-sync, first {WINDOW} of {size.sliding_rooms} rooms"
    return [Work(name, "answer", closed_loop(_IN_FLIGHT, step))]
