"""What it costs to read: initial and incremental /sync of somebody with many rooms, pages of history.

Servers remember answers for clients that ask again. Each measured request is unlike all others by a filter that selects
nothing else, so that the work is done every time.
"""

import itertools
from collections.abc import Awaitable, Callable

import orjson

from tests.bench.matrix_client import Client, sync_path
from tests.bench.population import Population, send_to_all
from tests.bench.size import Size
from tests.bench.work import Work, closed_loop

_IN_FLIGHT = 2
_PAGE = 100
_numbers = itertools.count(1)


def _unlike_all_others() -> str:
    """A filter that differs from request to request in the number of presence events, of which there are few."""
    return orjson.dumps({"presence": {"limit": 1000 + next(_numbers)}}).decode()


class _ReaderOfMany:
    """A user in many rooms with one other member each."""

    def __init__(self, reader: Client, owner: Client, rooms: list[str]) -> None:
        self._owner = owner
        self._rooms = rooms
        self.since = ""
        self._lanes = [reader.another() for _ in range(_IN_FLIGHT)]

    @classmethod
    async def settle(cls, population: Population, size: Size) -> "_ReaderOfMany":
        owner, reader = await population.users(2)
        rooms = await population.rooms(size.sync_rooms, lambda _: [owner, reader])
        settled = cls(reader, owner, rooms)
        await send_to_all(owner, rooms * size.sync_messages)
        return settled

    async def make_busy(self) -> None:
        """One event more in every room."""
        await send_to_all(self._owner, self._rooms)

    async def remember_now(self) -> None:
        self.since = (await self._lanes[0].sync())["next_batch"]

    def syncs(self, incremental: bool) -> Callable[[int], Awaitable[object]]:
        async def step(lane: int) -> None:
            since = self.since if incremental else None
            await self._lanes[lane].fetch_sync(sync_path(since, filter_json=_unlike_all_others()))

        return step


async def initial_sync(population: Population, size: Size) -> list[Work]:
    """/sync without `since`."""
    reader = await _ReaderOfMany.settle(population, size)
    run = closed_loop(_IN_FLIGHT, reader.syncs(incremental=False))
    return [Work(f"initial-sync, {size.sync_rooms} rooms", "answer", run)]


async def incremental_sync(population: Population, size: Size) -> list[Work]:
    """/sync since a moment after which nothing, or one event in each room, happened."""
    reader = await _ReaderOfMany.settle(population, size)
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
