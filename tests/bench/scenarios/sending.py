"""Sends in many small rooms and in a big one, and what it costs to wake those who wait for them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.bench.matrix_client import Client
from tests.bench.population import Population
from tests.bench.size import Size
from tests.bench.together import each
from tests.bench.work import FAILURES, Slice, Work, at_pace, closed_loop

_TEXT = "The quick brown fox jumps over the lazy dog."
_IN_FLIGHT = (1, 8, 32)
_POLL_TIMEOUT_MS = 30_000
_DELIVERY_TIMEOUT_S = 30.0  # a receipt that takes longer counts as lost
_PACED_PER_S = 4
_PACED_LANES = 4
_PAUSE_AFTER_ERROR_S = 0.5


async def send_many(population: Population, size: Size) -> list[Work]:
    """Each lane goes round its own share of the rooms, which have two members each."""
    crowd = await population.crowd(2 * size.rooms)
    rooms = await population.rooms(size.rooms, lambda number: crowd[2 * number : 2 * number + 2])
    senders = [crowd[2 * number].another() for number in range(size.rooms)]
    return [
        Work(f"send-many, {lanes} in flight", "event", closed_loop(lanes, _Round(senders, rooms, lanes).step))
        for lanes in _IN_FLIGHT
    ]


async def send_big(population: Population, size: Size) -> list[Work]:
    """Members of one big room send into it."""
    lanes = _IN_FLIGHT[-1]
    members = await population.crowd(size.big_room)
    room_id = await population.crowded_room(size.big_room)
    senders = [member.another() for member in members[:lanes]]
    run = closed_loop(lanes, _Round(senders, [room_id] * lanes, lanes).step)
    return [Work(f"send-big, {size.big_room} members, {lanes} in flight", "event", run)]


class _Round:
    """Which sender and room a lane uses next: every `lanes`-th one, so that no two lanes share a connection."""

    def __init__(self, senders: Sequence[Client], rooms: Sequence[str], lanes: int) -> None:
        self._senders = senders
        self._rooms = rooms
        self._lanes = lanes
        self._next = list(range(lanes))

    async def step(self, lane: int) -> None:
        number = self._next[lane]
        following = number + self._lanes
        self._next[lane] = following if following < len(self._rooms) else lane
        await self._senders[number].send(self._rooms[number], _TEXT)


async def fanout(population: Population, size: Size) -> list[Work]:
    """Many clients wait in /sync, one sends: as fast as all receive, and a few events a second."""
    members = await population.crowd(size.waiting + 1)
    sender = members[0].another()
    room_id = await population.room(members)
    crowd = _WaitingCrowd(sender, [member.another() for member in members[1:]], room_id)
    await crowd.catch_up()  # now all are online, of which each hears in the next round
    return [
        Work(f"fanout, {size.waiting} clients", "delivery", crowd.run, crowd.catch_up),
        Work(f"fanout, {size.waiting} clients, {_PACED_PER_S} events/s", "delivery", crowd.run_paced, crowd.catch_up),
    ]


class _WaitingCrowd:
    """Long polls that follow one room. A delivery is one client's receipt of one event, timed from its send."""

    def __init__(self, sender: Client, readers: Sequence[Client], room_id: str) -> None:
        self._senders = [sender.another() for _ in range(_PACED_LANES)]
        self._readers = readers
        self._room_id = room_id
        self._since = [""] * len(readers)
        self._slice: Slice | None = None
        self._texts = itertools.count()
        self._sent_at: dict[str, float] = {}
        self._missing: dict[str, int] = {}  # of what not all have received: by how many
        self._all_received = asyncio.Event()

    async def catch_up(self) -> None:
        """Bring every reader to the present."""

        async def read(number: int) -> None:
            reader = self._readers[number]
            self._since[number] = (await reader.sync(self._since[number] or None))["next_batch"]

        await each(range(len(self._readers)), read)

    async def run(self, current: Slice) -> None:
        """The next event is sent when the last one has been received by all."""
        async with self._polling(current):
            while not current.is_over():
                await self._send(current, 0)
                await self._until_received(current)

    async def run_paced(self, current: Slice) -> None:
        """Some events a second, whatever the receivers do."""
        async with self._polling(current):
            await at_pace(current, _PACED_PER_S, _PACED_LANES, lambda lane: self._send(current, lane))
            await self._until_received(current)

    @asynccontextmanager
    async def _polling(self, current: Slice) -> AsyncIterator[None]:
        self._slice = current
        polls = [asyncio.create_task(self._poll(number)) for number in range(len(self._readers))]
        await asyncio.sleep(0)
        yield
        self._slice = None
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)

    async def _send(self, current: Slice, lane: int) -> None:
        text = f"{next(self._texts)} {_TEXT}"
        self._missing[text] = len(self._readers)
        self._sent_at[text] = current.moment()
        self._all_received.clear()
        try:
            await self._senders[lane].send(self._room_id, text)
        except FAILURES as error:
            current.failed(error)
            self._done(text)

    async def _until_received(self, current: Slice) -> None:
        try:
            await asyncio.wait_for(self._all_received.wait(), _DELIVERY_TIMEOUT_S)
        except TimeoutError:
            missing = sum(self._missing.values())
            current.failed(TimeoutError(f"{missing} deliveries of {len(self._missing)} events are missing"))
            for text in list(self._missing):
                self._done(text)

    def _done(self, text: str) -> None:
        del self._missing[text]
        del self._sent_at[text]
        if not self._missing:
            self._all_received.set()

    async def _poll(self, number: int) -> None:
        while (current := self._slice) is not None and not current.is_over(times=20):
            try:
                answer = await self._readers[number].sync(self._since[number], _POLL_TIMEOUT_MS)
            except FAILURES as error:
                current.failed(error)
                await asyncio.sleep(_PAUSE_AFTER_ERROR_S)
                continue
            self._since[number] = answer["next_batch"]
            self._receive(current, answer)

    def _receive(self, current: Slice, answer: Any) -> None:
        room = answer.get("rooms", {}).get("join", {}).get(self._room_id)
        for event in room["timeline"]["events"] if room else ():
            text = event["content"].get("body", "")
            if text in self._missing:
                current.count(self._sent_at[text])
                self._missing[text] -= 1
                if self._missing[text] == 0:
                    self._done(text)
