"""What a bridge does: ghosts by the thousand, their joins and messages, and how soon the service hears of them."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.bridge import Bridge, Ghost
from tests.bench.population import Population
from tests.bench.size import Size
from tests.bench.together import each
from tests.bench.work import FAILURES, OVERTIME, Slice, Work, at_pace, closed_loop

_IN_FLIGHT = 32
_TEXT = "The quick brown fox jumps over the lazy dog."
_PACED_PER_S = 40
_DELIVERY_TIMEOUT_S = 20.0


async def ghost_register(population: Population, size: Size) -> list[Work]:
    """Ghosts without devices, as bridges make them."""
    bridge = population.bridge
    connections = [bridge.connection() for _ in range(_IN_FLIGHT)]

    async def step(lane: int) -> None:
        await bridge.register(connections[lane])

    return [Work(f"ghost-register, {_IN_FLIGHT} in flight", "ghost", closed_loop(_IN_FLIGHT, step))]


async def ghost_join(population: Population, size: Size) -> list[Work]:
    """Ghosts join one room that grows; in parts, as cost must not grow with the room."""
    bridge = population.bridge
    ghosts = await bridge.ghosts(size.ghost_joins)
    room_id = await bridge.room([])
    part = len(ghosts) // size.ghost_join_parts
    return [
        Work(
            f"ghost-join, members {start} to {start + part}",
            "join",
            _Joining(bridge, ghosts[start : start + part], room_id).run,
            slices=1,
        )
        for start in range(0, part * size.ghost_join_parts, part)
    ]


class _Joining:
    """Lets a list of ghosts join, each once; ends when all have."""

    def __init__(self, bridge: Bridge, ghosts: Sequence[Ghost], room_id: str) -> None:
        self._bridge = bridge
        self._ghosts = ghosts
        self._room_id = room_id

    async def run(self, current: Slice) -> None:
        waiting = iter(self._ghosts)  # shared by the lanes
        await asyncio.gather(*(self._lane(current, waiting) for _ in range(_IN_FLIGHT)))

    async def _lane(self, current: Slice, waiting: Iterator[Ghost]) -> None:
        connection = self._bridge.connection()
        for ghost in waiting:
            if current.is_over(times=OVERTIME):
                break
            await current.timed(ghost.on(connection).join(self._room_id))
        connection.close()


async def ghost_send(population: Population, size: Size) -> list[Work]:
    """Messages of ghosts into many rooms: the sends, and from the send to the service's transaction."""
    bridge = population.bridge
    ghosts = await bridge.ghosts(_IN_FLIGHT)
    rooms = await _rooms(bridge, ghosts, max(size.rooms, _IN_FLIGHT))
    sending = _Sending(bridge, ghosts, rooms)
    return [
        Work(f"ghost-send, {_IN_FLIGHT} in flight", "event", sending.sends),
        Work(f"ghost-send to transaction, {_IN_FLIGHT} in flight", "event", sending.deliveries, sending.settle),
        Work(f"ghost-send to transaction, {_PACED_PER_S} a second", "event", sending.paced, sending.settle),
    ]


async def ghost_send_big(population: Population, size: Size) -> list[Work]:
    """The same in one big room of ghosts."""
    bridge = population.bridge
    ghosts = await bridge.ghosts(size.ghost_room)
    room_id = await bridge.room(ghosts)
    sending = _Sending(bridge, ghosts[:_IN_FLIGHT], [room_id] * _IN_FLIGHT)
    name = f"ghost-send-big, {size.ghost_room} members"
    return [
        Work(f"{name}, {_IN_FLIGHT} in flight", "event", sending.sends),
        Work(f"{name}, to transaction", "event", sending.deliveries, sending.settle),
    ]


async def _rooms(bridge: Bridge, ghosts: Sequence[Ghost], count: int) -> list[str]:
    """So many rooms, each with one of the ghosts, in turn."""
    found = [""] * count

    async def make(number: int) -> None:
        found[number] = await bridge.room([ghosts[number % len(ghosts)]])

    await each(range(count), make)
    return found


class _Sending:
    """Ghosts that send, each on a connection of its own, into every so-many-th room."""

    def __init__(self, bridge: Bridge, ghosts: Sequence[Ghost], rooms: Sequence[str]) -> None:
        self._bridge = bridge
        self._lanes = [ghost.on(bridge.connection()) for ghost in ghosts]
        self._rooms = [rooms[lane :: len(self._lanes)] for lane in range(len(self._lanes))]
        self._numbers = itertools.count()
        self._sent_at: dict[str, float] = {}
        self._all_came = asyncio.Event()

    async def send(self, lane: int, text: str = _TEXT) -> None:
        rooms = self._rooms[lane]
        await self._lanes[lane].send(rooms[next(self._numbers) % len(rooms)], text)

    async def sends(self, current: Slice) -> None:
        """Counts what is sent."""
        await closed_loop(len(self._lanes), self.send)(current)

    async def settle(self) -> None:
        """Until the service has heard of everything so far."""
        slice_ = Slice(1.0)
        self._bridge.service.on_event = self._received_by(slice_)
        await self._send_noted(slice_, 0)
        await self._all_received(slice_)

    async def deliveries(self, current: Slice) -> None:
        """Counts what the service receives, from the send on."""
        self._bridge.service.on_event = self._received_by(current)

        async def lane(number: int) -> None:
            while not current.is_over():
                await self._send_noted(current, number)

        await asyncio.gather(*(lane(number) for number in range(len(self._lanes))))
        await self._all_received(current)

    async def paced(self, current: Slice) -> None:
        """So many events a second, whatever they cost; counts what the service receives, from the send on."""
        self._bridge.service.on_event = self._received_by(current)
        await at_pace(current, _PACED_PER_S, len(self._lanes), lambda lane: self._send_noted(current, lane))
        await self._all_received(current)

    async def _send_noted(self, current: Slice, lane: int) -> None:
        text = f"{next(self._numbers)} {_TEXT}"
        self._sent_at[text] = current.moment()
        try:
            await self.send(lane, text)
        except FAILURES as error:
            del self._sent_at[text]
            current.failed(error)

    def _received_by(self, current: Slice) -> Any:
        def received(event: dict[str, Any]) -> None:
            sent_at = self._sent_at.pop(event["content"].get("body", ""), None)
            if sent_at is not None:
                current.count(sent_at)
            if not self._sent_at:
                self._all_came.set()

        return received

    async def _all_received(self, current: Slice) -> None:
        self._all_came.clear()
        try:
            if self._sent_at:
                await asyncio.wait_for(self._all_came.wait(), _DELIVERY_TIMEOUT_S)
        except TimeoutError:
            current.failed(TimeoutError(f"the service did not receive {len(self._sent_at)} events"))
            self._sent_at.clear()


async def catch_up(population: Population, size: Size) -> list[Work]:
    """What the service does not receive while it is away comes when it is there again."""
    bridge = population.bridge
    ghosts = await bridge.ghosts(_IN_FLIGHT)
    rooms = await _rooms(bridge, ghosts, _IN_FLIGHT)
    work = _CatchingUp(bridge, _Sending(bridge, ghosts, rooms), size.backlog)
    return [Work(f"catch-up, {size.backlog} events", "event", work.run, work.fall_behind, slices=1)]


class _CatchingUp:
    """A service that was away."""

    def __init__(self, bridge: Bridge, sending: _Sending, backlog: int) -> None:
        self._bridge = bridge
        self._sending = sending
        self._backlog = backlog

    async def fall_behind(self) -> None:
        """Sends with nobody there."""
        await self._sending.settle()
        self._bridge.service.is_away = True
        waiting = iter(range(self._backlog))

        async def lane(number: int) -> None:
            for _ in waiting:
                await self._sending.send(number)

        await asyncio.gather(*(lane(number) for number in range(_IN_FLIGHT)))

    async def run(self, current: Slice) -> None:
        """From the ping to the last event."""
        missing = self._backlog
        done = asyncio.Event()

        def received(event: dict[str, Any]) -> None:
            nonlocal missing
            if event["type"] == "m.room.message":
                current.count(current.started)
                missing -= 1
                if missing == 0:
                    done.set()

        self._bridge.service.on_event = received
        self._bridge.service.is_away = False
        await self._bridge.ping()
        await done.wait()
