"""One server is away while the other goes on, and both write to the same rooms: afterwards both know the same."""

import asyncio
import signal

from tests.real_servers.conftest import Neighbours
from tests.real_servers.steps import becomes, server_of, state, until
from tests.real_servers.test_reading import play
from tests.scenarios.client import User, event_ids, unique

ROOMS = 20
MESSAGES = 50  # in each room, while the other server is away: a thousand in all, and as many the other way


async def rooms_of_both(alice: User, bob: User) -> list[str]:
    """Every second one is made by either; both may change everything."""
    found = []
    for number in range(ROOMS):
        host, guest = ((alice, bob), (bob, alice))[number % 2]
        room_id = await host.create_room(
            preset="public_chat",
            room_version=("10", "11")[number // 2 % 2],
            power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 100}},
        )
        await guest.join(room_id, query={"via": server_of(host), "server_name": server_of(host)})
        await becomes(host, room_id, guest, "join")
        found.append(room_id)
    return found


async def know_the_same(alice: User, bob: User, rooms: list[str]) -> None:
    async def look() -> bool:
        for room_id in rooms:
            if await state(alice, room_id) != await state(bob, room_id):
                return False
            seen = [set(event_ids(await user.history(room_id, page=100))) for user in (alice, bob)]
            if seen[0] != seen[1]:
                return False
        return True

    await until(look, "both servers know the same", 180)


async def talk(user: User, rooms: list[str], topic: str) -> None:
    for number in range(MESSAGES):
        for room_id in rooms:
            await user.send(room_id, f"{topic} {number}")
    for room_id in rooms:
        await user.set_state(room_id, "m.room.topic", {"topic": topic})


def test_each_is_away_once(neighbours: Neighbours) -> None:
    async def steps(alice: User, bob: User) -> None:
        rooms = await rooms_of_both(alice, bob)
        neighbours.viaduct.stop(signal.SIGTERM)
        await talk(bob, rooms, "Viaduct is away")
        neighbours.viaduct.start()
        await asyncio.to_thread(neighbours.viaduct.wait_until_up)
        for room_id in rooms:  # before it has heard anything
            await alice.set_state(room_id, "m.room.topic", {"topic": "back"})
        number = unique("n")
        message = {"messages": {bob.user_id: {"*": {"number": number}}}}
        await alice.put(("sendToDevice", "m.test", unique("t")), message)

        async def arrives() -> bool:
            events = (await bob.sync()).get("to_device", {}).get("events", [])
            return any(event["content"].get("number") == number for event in events)

        await until(arrives, "a message to a device does not wait for rooms")
        for room_id in rooms:
            await bob.send(room_id, "is somebody there?")
        await know_the_same(alice, bob, rooms)
        neighbours.synapse.stop()
        await talk(alice, rooms, "Synapse is away")
        neighbours.synapse.start()
        for room_id in rooms:
            await bob.set_state(room_id, "m.room.name", {"name": "back"})
        await know_the_same(alice, bob, rooms)

    play(neighbours, steps)
