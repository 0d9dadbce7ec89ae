"""Users and rooms that works use, made on demand, several at a time, before anything is measured."""

import itertools
from collections.abc import Callable, Iterable, Sequence

from tests.bench.bridge import Bridge
from tests.bench.http_client import Address
from tests.bench.matrix_client import Client
from tests.bench.together import AT_ONCE, each

PASSWORD = "correct horse battery staple"


class Population:
    """What one server holds for the benchmark. `run_id` keeps the names of two runs on one server apart."""

    def __init__(self, address: Address, run_id: str, bridge: Bridge | None = None) -> None:
        self.address = address
        self._bridge = bridge
        self._run_id = run_id
        self._numbers = itertools.count()
        self._crowd: list[Client] = []

    @property
    def bridge(self) -> Bridge:
        """The application service that the server knows. Raises LookupError."""
        if self._bridge is None:
            raise LookupError("the server knows no application service of ours: see --registration")
        return self._bridge

    def next_name(self) -> str:
        """A user name that nobody has."""
        return f"bench_{self._run_id}_{next(self._numbers)}"

    async def users(self, count: int) -> list[Client]:
        """Fresh users, members of nothing."""
        clients = [Client(self.address) for _ in range(count)]

        async def register(client: Client) -> None:
            await client.register(self.next_name(), PASSWORD)
            client.close()  # a thousand idle connections are not what is measured

        await each(clients, register)
        return clients

    async def crowd(self, count: int) -> list[Client]:
        """Users that works share, for whom it does not matter which other rooms they are in."""
        if len(self._crowd) < count:
            self._crowd += await self.users(count - len(self._crowd))
        return self._crowd[:count]

    async def room(self, members: Sequence[Client]) -> str:
        """A room made by the first, in which the others are too."""
        own = [member.another() for member in members]  # their connections may be in use
        room_id = await own[0].create_room()

        async def join(member: Client) -> None:
            await member.join(room_id)
            member.close()

        await each(own[1:], join)
        own[0].close()
        return room_id

    async def rooms(self, count: int, members: Callable[[int], Sequence[Client]]) -> list[str]:
        """Several rooms; `members` says who is in the room of a number."""
        found = [""] * count

        async def make(number: int) -> None:
            found[number] = await self.room(members(number))

        await each(range(count), make)
        return found


async def send_to_all(sender: Client, rooms: Iterable[str]) -> None:
    """One user sends a message into every room of a list, in which a room may stand more than once."""
    free = [sender.another() for _ in range(AT_ONCE)]
    lanes = tuple(free)

    async def send(room_id: str) -> None:
        lane = free.pop()
        try:
            await lane.send(room_id, "something happened")
        finally:
            free.append(lane)

    await each(rooms, send)
    for lane in lanes:
        lane.close()
