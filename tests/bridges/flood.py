"""A bridge that sends as fast as the server takes it, as a process of its own: `python -m tests.bridges.flood
REGISTRATION URL GHOSTS`. The service of the registration listens in it. Says "ready", then each second how many events
went in, until it is ended.
"""

import asyncio
import itertools
import sys
from pathlib import Path

from tests.bench.bridge import Bridge, Ghost
from tests.bench.http_client import Address
from tests.bench.service import Registration, Service
from tests.bench.together import each
from tests.bench.work import FAILURES

_PAUSE_S = 0.5


class Flood:
    """So many ghosts, each with one send in flight, in a room of its own."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.sent = 0

    async def run(self, count: int) -> None:
        """Prepares, says so, and floods for ever."""
        ghosts = await self._bridge.ghosts(count)
        rooms: dict[Ghost, str] = {}

        async def make_room(ghost: Ghost) -> None:
            rooms[ghost] = await self._bridge.room([ghost])

        await each(ghosts, make_room)
        say("ready")
        async with asyncio.TaskGroup() as lanes:
            for ghost, room_id in rooms.items():
                lanes.create_task(self._lane(ghost.on(self._bridge.connection()), room_id))
            lanes.create_task(self._tell())

    async def _lane(self, ghost: Ghost, room_id: str) -> None:
        for number in itertools.count():
            try:
                await ghost.send(room_id, f"message {number}")
                self.sent += 1
            except FAILURES:
                await asyncio.sleep(_PAUSE_S)

    async def _tell(self) -> None:
        for _ in itertools.count():
            before = self.sent
            await asyncio.sleep(1.0)
            say(str(self.sent - before))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main() -> None:
    path, url, ghosts = sys.argv[1:]
    known, service = Registration.read(Path(path)), Service()
    await service.start(known.port)
    await Flood(Bridge(Address(url), known, service)).run(int(ghosts))


if __name__ == "__main__":
    asyncio.run(main())
