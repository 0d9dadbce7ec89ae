"""Plays of two servers that do not hear of each other for a while: one is away, or the network between them is.

    python -m tests.real_servers.partition --rooms 20 --messages 50 --minutes 3

plays both at full size; the tests are the same with less. Afterwards both servers have the same state and the same
events in every room, and messages to devices have not waited for them.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tests.real_servers.neighbours import Neighbours, play, running_neighbours
from tests.real_servers.steps import becomes, server_of, state, until
from tests.scenarios.client import User, event_ids, unique
from tests.services import TestPostgres

TO_DEVICE_S: Final = 60.0
"""Until a message to a device is there, once there is a way again: both servers leave each other alone for a while."""
PROBE_S: Final = 5.0


@dataclass(frozen=True)
class Amount:
    """`messages` in each room while the other server is away; that takes `away_s` at least."""

    rooms: int
    messages: int
    away_s: float

    @property
    def limit_s(self) -> float:
        """Until both know the same: for each event what a busy machine may need for both servers, and the longest time
        that a server leaves another alone which was away so long."""
        return 180.0 + 0.1 * self.rooms * self.messages + 2 * self.away_s


async def rooms_of_both(alice: User, bob: User, count: int) -> list[str]:
    """Every second one is made by either; both may change everything."""
    found = []
    for number in range(count):
        host, guest = ((alice, bob), (bob, alice))[number % 2]
        room_id = await host.create_room(
            preset="public_chat",
            room_version=("10", "11", "12")[number // 2 % 3],
            power_level_content_override={"users": {guest.user_id: 100, **_unless_creator(host, number)}},
        )
        await guest.join(room_id, query={"via": server_of(host), "server_name": server_of(host)})
        await becomes(host, room_id, guest, "join")
        found.append(room_id)
    return found


def _unless_creator(host: User, number: int) -> dict[str, int]:
    """From version 12 on creators have no level."""
    return {} if number // 2 % 3 == 2 else {host.user_id: 100}


async def know_the_same(alice: User, bob: User, rooms: list[str], limit_s: float) -> None:
    """Wait until both users see the same state and the same events."""
    differing = list(rooms)

    async def look() -> bool:
        while differing:
            room_id = differing[0]
            if await state(alice, room_id) != await state(bob, room_id):
                return False
            seen = [set(event_ids(await user.history(room_id, page=100))) for user in (alice, bob)]
            if seen[0] != seen[1]:
                return False
            differing.pop(0)
        return True

    await until(look, f"both servers know the same of {len(rooms)} rooms", limit_s)


async def talk(user: User, rooms: list[str], topic: str, amount: Amount) -> None:
    """Messages in all rooms for the time that one is away, and another topic."""
    began = time.monotonic()
    for number in range(amount.messages):
        for room_id in rooms:
            await user.send(room_id, f"{topic} {number}")
        left = began + amount.away_s * (number + 1) / amount.messages - time.monotonic()
        await asyncio.sleep(max(0.0, left))
    for room_id in rooms:
        await user.set_state(room_id, "m.room.topic", {"topic": topic})


async def passes(sender: User, reader: User, limit_s: float) -> None:
    """A message to a device arrives."""
    number = unique("n")
    message = {"messages": {reader.user_id: {"*": {"number": number}}}}
    await sender.put(("sendToDevice", "m.test", unique("t")), message)

    async def arrives() -> bool:
        events: list[Any] = (await reader.sync()).get("to_device", {}).get("events", [])
        return any(event["content"].get("number") == number for event in events)

    await until(arrives, "a message to a device does not wait for rooms", limit_s)


async def each_is_away_once(servers: Neighbours, alice: User, bob: User, amount: Amount) -> None:
    """First one server is stopped while the other goes on, then the other way round."""
    rooms = await rooms_of_both(alice, bob, amount.rooms)
    servers.viaduct.stop(signal.SIGTERM)
    await talk(bob, rooms, "Viaduct is away", amount)
    servers.viaduct.start()
    await asyncio.to_thread(servers.viaduct.wait_until_up)
    for room_id in rooms:  # before it has heard anything
        await alice.set_state(room_id, "m.room.topic", {"topic": "back"})
    await passes(alice, bob, TO_DEVICE_S)
    for room_id in rooms:
        await bob.send(room_id, "is somebody there?")
    await know_the_same(alice, bob, rooms, amount.limit_s)
    servers.synapse.stop()
    await talk(alice, rooms, "Synapse is away", amount)
    servers.synapse.start()
    for room_id in rooms:
        await bob.set_state(room_id, "m.room.name", {"name": "back"})
    await know_the_same(alice, bob, rooms, amount.limit_s)


async def both_write_while_they_are_apart(servers: Neighbours, alice: User, bob: User, amount: Amount) -> None:
    """Both run and write into the same rooms, of which each changes the same state, and neither hears of it."""
    rooms = await rooms_of_both(alice, bob, amount.rooms)
    servers.cut()
    await asyncio.gather(
        talk(alice, rooms, "on this side", amount),
        talk(bob, rooms, "on the other side", amount),
    )
    for number, room_id in enumerate(rooms):
        user, other = ((alice, bob), (bob, alice))[number // 2 % 2]
        await user.set_state(room_id, "m.room.name", {"name": "named apart"})
        await other.set_state(room_id, "m.room.join_rules", {"join_rule": "invite"})
    servers.mend()
    await asyncio.gather(passes(alice, bob, amount.limit_s), passes(bob, alice, amount.limit_s))
    for room_id in rooms:  # what is new tells the others of what is old
        await alice.send(room_id, "we are back")
        await bob.send(room_id, "so are we")
    await know_the_same(alice, bob, rooms, amount.limit_s)


PLAYS: Final = (each_is_away_once, both_write_while_they_are_apart)
Steps = Callable[[Neighbours, User, User, Amount], Awaitable[None]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.real_servers.partition")
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--messages", type=int, default=50, help="in each room")
    parser.add_argument("--minutes", type=float, default=3.0, help="for which a server is away, at least")
    options = parser.parse_args()
    amount = Amount(options.rooms, options.messages, options.minutes * 60)
    with TestPostgres() as postgres, postgres.database() as url, running_neighbours(url) as servers:
        for steps in PLAYS:
            began = time.monotonic()
            play(servers, partial(steps, servers, amount=amount))
            sys.stdout.write(f"{steps.__name__}: both know the same, {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
