"""Users and rooms that works use, made on demand, several at a time, before anything is measured."""

import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from tests.bench.bridge import Bridge
from tests.bench.http_client import Address
from tests.bench.kept import Filled, Kept
from tests.bench.matrix_client import Client
from tests.bench.texts import text
from tests.bench.together import AT_ONCE, each

PASSWORD = "correct horse battery staple"
# The newest messages of many rooms, so many for each, are told to one room after the other; what there is beyond, in
# blocks for one room: what is sent into a room at the same time some servers take together, in half the time.
_BY_TURNS = 20
_BLOCK = 100
_NOTED = 500  # messages; what is interrupted goes on with the next of so many
_Item = TypeVar("_Item")


class Population:
    """What one server holds for the benchmark. `run_id` keeps the names of two runs on one server apart."""

    def __init__(self, address: Address, run_id: str, bridge: Bridge | None = None, kept: Kept | None = None) -> None:
        self.address = address
        self._kept = kept
        self._bridge = bridge
        self._run_id = run_id
        self._numbers = itertools.count()
        self._crowd: list[Client] = []
        self._crowded: dict[int, str] = {}
        self._many: ManyRooms | None = None

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

    async def crowded_room(self, count: int) -> str:
        """A room that so many of the crowd are in, which works share."""
        if count not in self._crowded:
            self._crowded[count] = await self.room(await self.crowd(count))
        return self._crowded[count]

    async def many_rooms(self) -> "ManyRooms":
        """Rooms that works share, as making them takes some servers long."""
        if self._many is None:
            filled = self._kept and self._kept.filled()
            owner = Client(self.address, filled.user_id, filled.token) if filled else (await self.users(1))[0]
            self._many = ManyRooms(owner, self._kept)
        return self._many

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


class ManyRooms:
    """One user's rooms, more of them and more messages in them as works ask; of a server that is kept, also later."""

    def __init__(self, owner: Client, kept: Kept | None = None) -> None:
        self.owner = owner
        self._kept = kept
        filled = kept and kept.filled()
        self._rooms: list[str] = filled.rooms if filled else []
        self._said = filled.said if filled else 0

    def _note(self) -> None:
        if self._kept is not None:
            self._kept.note(Filled(self.owner.user_id, self.owner.token, self._rooms, self._said))

    async def rooms(self, count: int) -> list[str]:
        """So many, always the same."""
        if len(self._rooms) < count:
            await _at_once(self.owner, range(count - len(self._rooms)), self._make)
            self._note()
        return self._rooms[:count]

    async def _make(self, lane: Client, _: int) -> None:
        self._rooms.append(await lane.create_room())

    async def joined(self, reader: Client, count: int) -> list[str]:
        """So many of the rooms, after somebody joined them."""
        rooms = await self.rooms(count)
        await _at_once(reader, rooms, Client.join)
        return rooms

    async def speak(self, rooms: Sequence[str], messages: int) -> None:
        """Until so many messages have been sent into these rooms, at the end by turns."""
        by_turns = messages - _BY_TURNS * len(rooms)

        async def send(lane: Client, number: int) -> None:
            turn = number if number >= by_turns else number // _BLOCK
            await lane.send(rooms[turn % len(rooms)], text(number))

        while self._said < messages:
            upto = min(messages, self._said + _NOTED)
            await _at_once(self.owner, range(self._said, upto), send)
            self._said = upto
            self._note()


async def send_to_all(sender: Client, rooms: Iterable[str]) -> None:
    """One user sends a message into every room of a list, in which a room may stand more than once."""
    await _at_once(sender, rooms, lambda lane, room_id: lane.send(room_id, "something happened"))


async def _at_once(user: Client, items: Iterable[_Item], action: Callable[[Client, _Item], Awaitable[object]]) -> None:
    """One user does something for every item of a list, on several connections."""
    free = [user.another() for _ in range(AT_ONCE)]
    lanes = tuple(free)

    async def act(item: _Item) -> None:
        lane = free.pop()
        try:
            await action(lane, item)
        finally:
            free.append(lane)

    await each(items, act)
    for lane in lanes:
        lane.close()
