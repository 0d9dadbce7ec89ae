"""A server that is given far more than it can do; then whether it is as it was, and has what it acknowledged."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.figures import median
from tests.bench.limits.audit import Audit, audit
from tests.bench.limits.sender import Sender, Tally, load
from tests.bench.limits.watch import Seen, Watch
from tests.bench.matrix_client import Client
from tests.bench.together import persistently
from tests.bench.work import FAILURES

HUMAN_PER_S: Final = 5
_HUMAN_LANES = 40  # so that slow answers do not keep the next message from being sent
_USUAL_SENDS = 30
_CALM_IN_A_ROW = 5
_CALM_FACTOR = 3  # of what a send takes usually
_CALM_MS = 25.0  # and as much again as the machine may do otherwise
WEDGED_S: Final = 60.0
_PAGE = 100
_ROOMS_AT_ONCE = 8  # that are read


@dataclass(slots=True)
class Pushed:
    """What a load beyond the limit met with."""

    name: str
    in_flight: int
    per_s: float
    tally: Tally
    seen: Seen
    human_ms: list[float]
    human_refused: int


@dataclass(slots=True)
class Aftermath:
    """What was found when the load had ended. Seconds are None where the limit of patience came first."""

    usual_ms: float
    calm_after_s: float | None = None
    told_after_s: float | None = None
    rooms: Audit = field(default_factory=Audit)
    service: Audit = field(default_factory=Audit)

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost, doubled or exchanged, and the server did not stay slow."""
        return (
            self.rooms.is_well
            and self.service.is_well
            and self.calm_after_s is not None
            and self.told_after_s is not None
        )


class Human:
    """Somebody who writes now and then into a room of his own."""

    def __init__(self, user: Client, room_id: str) -> None:
        self._users = [user.another() for _ in range(_HUMAN_LANES)]
        self._room_id = room_id

    async def usual_ms(self) -> float:
        """The median of some sends."""
        return median([await self.send() for _ in range(_USUAL_SENDS)])

    async def connect(self) -> None:
        """With all lanes: whoever is connected when the load comes does not wait for a connection in it."""
        for lane in range(len(self._users)):
            await self.send(lane)

    async def send(self, lane: int = 0) -> float:
        """One message; the milliseconds that it took."""
        began_s = time.monotonic()
        await self._users[lane].send(self._room_id, "hello?")
        return (time.monotonic() - began_s) * 1000

    async def write(self, latencies_ms: list[float], refused: list[Exception]) -> None:
        """A few times a second, until it is cancelled."""

        async def one(lane: int) -> None:
            try:
                latencies_ms.append(await self.send(lane))
            except FAILURES as error:
                refused.append(error)

        async with asyncio.TaskGroup() as sends:
            for number in range(1 << 30):
                sends.create_task(one(number % len(self._users)))
                await asyncio.sleep(1 / HUMAN_PER_S)

    def close(self) -> None:
        """End the connections."""
        for user in self._users:
            user.close()


async def push(name: str, senders: Sequence[Sender], seconds: float, human: Human, watch: Watch | None) -> Pushed:
    """All send as fast as they are let, while a human writes."""
    tally, human_ms, refused = Tally(), list[float](), list[Exception]()
    await human.connect()
    began_s = time.monotonic()
    writing = asyncio.create_task(human.write(human_ms, refused))
    try:
        async with nullcontext(Seen()) if watch is None else watch.during() as seen:
            await load(senders, seconds, tally)
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    human.close()  # what was cut off would answer later
    per_s = len(tally.latencies_ms) / (time.monotonic() - began_s)
    return Pushed(name, len(senders), per_s, tally, seen, human_ms, len(refused))


async def look(
    usual_ms: float,
    human: Human,
    senders: Sequence[Sender],
    told: Sequence[str],
) -> Aftermath:
    """`told`: what the service hears, in order, of all rooms and still growing."""
    found = Aftermath(usual_ms)
    began_s = time.monotonic()
    found.calm_after_s = await _calm(human, usual_ms, began_s)
    # Of the rooms that only humans are in the service hears nothing.
    expected = {event_id for sender in senders if sender.is_ghost for event_id in sender.acknowledged}
    while time.monotonic() - began_s < WEDGED_S:
        if expected <= set(told):
            found.told_after_s = time.monotonic() - began_s
            break
        await asyncio.sleep(0.5)
    found.service = audit([sender.acknowledged for sender in senders if sender.is_ghost], list(told))
    by_room: dict[str, list[Sender]] = {}
    for sender in senders:
        by_room.setdefault(sender.room_id, []).append(sender)
    turns = asyncio.Semaphore(_ROOMS_AT_ONCE)

    async def room(room_id: str, members: list[Sender]) -> None:
        async with turns:
            events = await timeline(members[0].user, room_id)
            members[0].close()
        found.rooms += audit([sender.acknowledged for sender in members], events)

    await asyncio.gather(*(room(*item) for item in by_room.items()))
    return found


async def _calm(human: Human, usual_ms: float, began_s: float) -> float | None:
    """The seconds until sends take their usual time again."""
    limit_ms = usual_ms * _CALM_FACTOR + _CALM_MS
    in_a_row = 0
    while time.monotonic() - began_s < WEDGED_S:
        try:
            in_a_row = in_a_row + 1 if await human.send() <= limit_ms else 0
        except FAILURES:
            in_a_row = 0
        if in_a_row == _CALM_IN_A_ROW:
            return time.monotonic() - began_s
        await asyncio.sleep(0.1)
    return None


async def timeline(user: Client, room_id: str) -> list[str]:
    """The ids of a room's messages, the oldest first, page by page."""
    found: list[str] = []
    since: str | None = None
    page: dict[str, Any] = {}

    async def turn() -> None:
        nonlocal page
        page = await user.messages(room_id, since, _PAGE)

    while True:
        await persistently(turn)
        found += [event["event_id"] for event in page["chunk"] if event["type"] == "m.room.message"]
        since = page.get("end")
        if since is None or not page["chunk"]:
            return found[::-1]
