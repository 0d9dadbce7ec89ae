"""New accounts, and joins into one room that grows."""

import asyncio
from collections.abc import Iterator, Sequence

from tests.bench.http_client import Address, Connection
from tests.bench.matrix_client import Client
from tests.bench.population import PASSWORD, Population
from tests.bench.size import Size
from tests.bench.work import OVERTIME, Slice, Work, closed_loop

_REGISTRATIONS_IN_FLIGHT = 8
_JOINS_IN_FLIGHT = 32


async def register(population: Population, size: Size) -> list[Work]:
    """Accounts by `m.login.dummy`; the server's cost of hashing passwords is part of it."""
    lanes = [Client(population.address) for _ in range(_REGISTRATIONS_IN_FLIGHT)]

    async def step(lane: int) -> None:
        await lanes[lane].register(population.next_name(), PASSWORD)

    return [Work(f"register, {_REGISTRATIONS_IN_FLIGHT} in flight", "account", closed_loop(len(lanes), step))]


async def join(population: Population, size: Size) -> list[Work]:
    """Joins into one room from empty to full; quarters, as cost must not grow with the room."""
    users = await population.users(size.joins)
    (creator,) = await population.users(1)
    room_id = await creator.create_room()
    quarter = len(users) // 4
    return [
        Work(
            f"join, members {start} to {start + quarter}",
            "join",
            _Joining(population.address, users[start : start + quarter], room_id).run,
            slices=1,
        )
        for start in range(0, 4 * quarter, quarter)
    ]


class _Joining:
    """Lets a list of users join, each once; ends when all have."""

    def __init__(self, address: Address, users: Sequence[Client], room_id: str) -> None:
        self._address = address
        self._users = users
        self._room_id = room_id

    async def run(self, current: Slice) -> None:
        waiting = iter(self._users)  # shared by the lanes
        await asyncio.gather(*(self._lane(current, waiting) for _ in range(_JOINS_IN_FLIGHT)))

    async def _lane(self, current: Slice, waiting: Iterator[Client]) -> None:
        doors = self._address.doors
        connection = Connection(doors.next_pair()[1] if doors else self._address)
        for user in waiting:
            if current.is_over(times=OVERTIME):
                break
            await current.timed(user.through(connection).join(self._room_id))
        connection.close()
