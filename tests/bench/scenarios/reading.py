"""What it costs to read: initial and incremental /sync of somebody with many rooms, pages of history.

Servers remember answers for clients that ask again. Each measured request is unlike all others by a filter that selects
nothing else, so that the work is done every time.
"""

import itertools
from collections.abc import Awaitable, Callable

import orjson

from tests.bench.matrix_client import Client, sync_path
from tests.bench.population import ManyRooms, Population, send_to_all
from tests.bench.size import Size
from tests.bench.work import Work, closed_loop

_IN_FLIGHT = 2
_PAGE = 100
_numbers = itertools.count(1)


def _unlike_all_others() -> str:
    """A filter that differs from request to request in the number of presence events, of which there are few."""
    return orjson.dumps({"presence": {"limit": 1000 + next(_numbers)}}).decode()


class _Reader:
    """A user in many rooms."""

    def __init__(self, many: ManyRooms, reader: Client, rooms: list[str]) -> None:
        self._many = many
        self._rooms = rooms
        self.since = ""
        self._lanes = [reader.another() for _ in range(_IN_FLIGHT)]

    @classmethod
    async def of(cls, population: Population, size: Size, rooms: int) -> "_Reader":
        """Somebody in the first so many of the many rooms, in all of which something was said."""
        many = await population.many_rooms()
        (reader,) = await population.users(1)
        joined = await many.joined(reader, rooms)
        await many.speak(await many.rooms(size.initial_rooms), size.messages)
        return cls(many, reader, joined)

    async def make_busy(self) -> None:
        """One event more in every room."""
        await send_to_all(self._many.owner, self._rooms)

    async def remember_now(self) -> None:
        self.since = (await self._lanes[0].sync())["next_batch"]

    def syncs(self, incremental: bool) -> Callable[[int], Awaitable[object]]:
        async def step(lane: int) -> None:
            since = self.since if incremental else None
            await self._lanes[lane].fetch_sync(sync_path(since, filter_json=_unlike_all_others()))

        return step


async def initial_sync(population: Population, size: Size) -> list[Work]:
    """/sync without `since`."""
    reader = await _Reader.of(population, size, size.initial_rooms)
    run = closed_loop(_IN_FLIGHT, reader.syncs(incremental=False))
    return [Work(f"initial-sync, {size.initial_rooms} rooms", "answer", run)]


async def incremental_sync(population: Population, size: Size) -> list[Work]:
    """/sync since a moment after which nothing, or one event in each room, happened."""
    reader = await _Reader.of(population, size, size.sync_rooms)
    run = closed_loop(_IN_FLIGHT, reader.syncs(incremental=True))

    async def busy() -> None:
        await reader.remember_now()
        await reader.make_busy()

    return [
        Work(f"incremental-sync, {size.sync_rooms} idle rooms", "answer", run, reader.remember_now),
        Work(f"incremental-sync, {size.sync_rooms} busy rooms", "answer", run, busy),
    ]


async def messages(population: Population, size: Size) -> list[Work]:
    """Pages of 100 events, backwards through one room's history, again and again."""
    members = await population.users(2)
    room_id = await population.room(members)
    await send_to_all(members[0], [room_id] * size.history)
    lanes = [_Pages(members[1].another(), room_id) for _ in range(_IN_FLIGHT)]
    return [Work(f"messages, pages of {_PAGE}", "page", closed_loop(_IN_FLIGHT, lambda lane: lanes[lane].turn()))]


class _Pages:
    """One client's way back through a room; only full pages are asked for."""

    def __init__(self, client: Client, room_id: str) -> None:
        self._client = client
        self._room_id = room_id
        self._from: str | None = None

    async def turn(self) -> None:
        page = await self._client.messages(self._room_id, self._from, _PAGE)
        self._from = page.get("end") if len(page["chunk"]) == _PAGE else None
