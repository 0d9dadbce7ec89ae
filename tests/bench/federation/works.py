"""What is measured: events received in rooms that do not fork and in rooms that fork, events sent, a large room joined.

A work ends when the receiver shows what it was sent and has come to rest, so nothing is left for later.
"""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from hs_common.matrix.seal import Sealed
from tests.bench.federation.receivers import Receiver
from tests.bench.federation.rooms import ForeignRoom
from tests.bench.federation.servers import ForeignServers
from tests.bench.federation.traffic import RefusedTransaction, Sender, Transaction, transactions
from tests.bench.http_client import Connection
from tests.bench.matrix_client import Client, RefusedError
from tests.bench.processes import cpu_between
from tests.bench.together import each
from tests.bench.work import FAILURES, Slice, Work, closed_loop

V3: Final = "/_matrix/client/v3"
PASSWORD: Final = "correct horse battery staple"
ROOM_VERSION: Final = "10"
_LOOK_S: Final = 0.05
_SHOWN_LIMIT_S: Final = 240.0
_REST_S: Final = 0.5
_REST_SHARE: Final = 0.12  # of a core: less is a server that looks whether there is something to do
_REST_LIMIT_S: Final = 120.0
_JOIN_LIMIT_S: Final = 280.0


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of everything. `transactions`: by their number of events, how many each server sends in a slice."""

    name: str
    servers: int
    room_members: int
    transactions: tuple[tuple[int, int], ...]
    slices: int
    seconds: float
    joined_members: int
    joins: int


QUICK: Final = Amount("quick", 32, 20, ((1, 10), (10, 3), (50, 1)), 2, 2.0, 2_000, 1)
FULL: Final = Amount("full", 32, 20, ((1, 20), (10, 6), (50, 2)), 3, 4.0, 10_000, 2)


@dataclass(slots=True)
class Stage:
    """A receiver with a user, and the servers that do not exist."""

    receiver: Receiver
    foreign: ForeignServers
    ca_file: str
    amount: Amount
    user: Client
    _rooms: list[ForeignRoom] = field(default_factory=list)
    _labels: Iterator[int] = field(default_factory=itertools.count)

    def label(self, text: str) -> str:
        return f"{text}-{self.receiver.name}-{next(self._labels)}"

    async def rooms(self, version: str) -> list[ForeignRoom]:
        """One room of each server, joined by the user; works share them."""
        if self._rooms:
            return self._rooms
        rooms = self._rooms
        for origin in self.foreign.origins:
            room = ForeignRoom(version, [origin], self.amount.room_members, self.label("room"))
            self.foreign.offer(room)
            rooms.append(room)

        async def join(room: ForeignRoom) -> None:
            connection = Connection(self.receiver.address)
            await self.user.through(connection).call("POST", join_path(room), {})
            connection.close()

        await each(rooms, join)
        return rooms

    def use_up_rooms(self) -> None:
        """What is written into them from here on the other servers do not follow, so later works need new ones."""
        self._rooms = []

    async def at_rest(self) -> None:
        """Return when the receiver does nothing any more."""
        tree = self.receiver.tree
        assert tree is not None, "it runs here"
        for _ in range(int(_REST_LIMIT_S / _REST_S)):
            before = tree.cpu()
            await asyncio.sleep(_REST_S)
            if sum(cpu_between(before, tree.cpu()).values()) < _REST_SHARE * _REST_S * 1000:
                return


def join_path(room: ForeignRoom) -> str:
    via = room.users[0].partition(":")[2]
    return f"{V3}/join/{quote(room.room_id, safe='')}?via={quote(via)}&server_name={quote(via)}"


async def receive(stage: Stage) -> list[Work]:
    """Rooms in which one event follows the other."""
    rooms = await stage.rooms(ROOM_VERSION)
    lines = [room.line(number) for number, room in enumerate(rooms)]
    return _receiving(stage, "receive", rooms, lines)


async def receive_forks(stage: Stage) -> list[Work]:
    """Rooms of which three events in four fork."""
    rooms = await stage.rooms(ROOM_VERSION)
    return _receiving(stage, "receive, forking", rooms, [room.branches() for room in rooms])


def _receiving(stage: Stage, name: str, rooms: Sequence[ForeignRoom], events: Sequence[Iterator[Sealed]]) -> list[Work]:
    found = []
    for pdus, count in stage.amount.transactions:
        traffic = _Traffic(stage, rooms, events, pdus, count)
        text = f"{name}, {pdus} a transaction"
        found.append(Work(text, "PDU", traffic.run, traffic.prepare, slices=stage.amount.slices))
    return found


class _Traffic:
    """Each server sends its room's next events, one transaction at a time, all servers at once."""

    def __init__(
        self,
        stage: Stage,
        rooms: Sequence[ForeignRoom],
        events: Sequence[Iterator[Sealed]],
        pdus: int,
        count: int,
    ) -> None:
        self._stage = stage
        self._rooms = rooms
        self._events = events
        self._pdus = pdus
        self._count = count
        self._senders = [Sender(stage.receiver.federation_url, stage.ca_file) for _ in rooms]
        self._ready: list[list[Transaction]] = []
        self._is_warm = False

    async def prepare(self) -> None:
        """Make and sign what the next slice sends. Connections and plans are those of a server in use."""
        if not self._is_warm:
            self._is_warm = True
            self._make(1)
            await self.run(Slice(0.0))
        self._make(self._count)
        await self._stage.at_rest()

    def _make(self, count: int) -> None:
        destination, label = self._stage.receiver.server_name, self._stage.label("t")
        self._ready = [
            list(itertools.islice(transactions(origin, destination, events, self._pdus, label), count))
            for origin, events in zip(self._stage.foreign.origins, self._events, strict=True)
        ]

    async def run(self, current: Slice) -> None:
        """All of it, until the last event of each room is shown."""
        lanes = zip(self._senders, self._ready, strict=True)
        await asyncio.gather(*(self._lane(current, sender, batch) for sender, batch in lanes))
        last = [batch[-1].event_ids[-1] for batch in self._ready]
        user = self._stage.user.another()
        async with asyncio.timeout(_SHOWN_LIMIT_S):
            for room, event_id in zip(self._rooms, last, strict=True):
                path = f"{V3}/rooms/{quote(room.room_id, safe='')}/event/{quote(event_id, safe='')}"
                await _until_there(user, path)
        user.close()
        await self._stage.at_rest()

    async def _lane(self, current: Slice, sender: Sender, batch: Sequence[Transaction]) -> None:
        for one in batch:
            began = current.moment()
            try:
                await sender.send(one)
            except (RefusedTransaction, *FAILURES) as error:
                current.failed(error)
            else:
                for _ in one.event_ids:
                    current.count(began)


async def _until_there(user: Client, path: str) -> None:
    for _ in range(int(_SHOWN_LIMIT_S / _LOOK_S)):
        try:
            await user.call("GET", path)
        except RefusedError as error:
            if error.status != 404:
                raise
            await asyncio.sleep(_LOOK_S)
        else:
            return


async def send(stage: Stage) -> list[Work]:
    """The user's messages into the rooms, each of which one other server is in; 32 in flight."""
    rooms = await stage.rooms(ROOM_VERSION)
    stage.use_up_rooms()
    users = [stage.user.another() for _ in rooms]

    async def step(lane: int) -> None:
        await users[lane].send(rooms[lane].room_id, "The quick brown fox jumps over the lazy dog.")

    loop = closed_loop(len(rooms), step)

    async def run(current: Slice) -> None:
        before = stage.foreign.received
        await loop(current)
        await stage.foreign.until_received(before + len(current.latencies_ms), _SHOWN_LIMIT_S)
        await stage.at_rest()

    return [Work(f"send, {len(rooms)} in flight", "PDU", run, stage.at_rest)]


async def join(stage: Stage) -> list[Work]:
    """A room of many members, in two room versions."""
    return [_joining(stage, version) for version in ("10", "12")]


def _joining(stage: Stage, version: str) -> Work:
    rooms: list[ForeignRoom] = []
    members = stage.amount.joined_members

    async def prepare() -> None:
        room = ForeignRoom(version, stage.foreign.origins, members, stage.label("large"))
        stage.foreign.offer(room)
        rooms.append(room)
        await stage.at_rest()

    async def run(current: Slice) -> None:
        began = current.moment()
        user = stage.user.another()
        user.timeout_s = _JOIN_LIMIT_S
        try:
            await user.call("POST", join_path(rooms[-1]), {})
        except FAILURES as error:
            current.failed(error)
        else:
            current.count(began)
        user.close()
        await stage.at_rest()

    async def check() -> None:
        path = f"{V3}/rooms/{quote(rooms[-1].room_id, safe='')}/joined_members"
        joined = (await stage.user.call("GET", path))["joined"]
        assert len(joined) == members + 1, f"{len(joined)} are joined"

    name = f"join a room of {members} members, version {version}"
    return Work(name, "join", run, prepare, slices=stage.amount.joins, after=check, watches_memory=True)


WORKS: Final = {"receive": receive, "receive-forks": receive_forks, "send": send, "join-large": join}
