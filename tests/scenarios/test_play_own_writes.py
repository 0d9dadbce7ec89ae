"""What one process acknowledged, every other process shows at once: a write here, a read there, no waiting between."""

import asyncio
import itertools
import random

from tests.scenarios.client import User, bodies, http_session, register, timeline, unique
from tests.scenarios.server import Server

_ROUNDS = 200


def test_written_at_one_process_and_read_at_another(server: Server) -> None:
    async def play() -> None:
        async with http_session() as http:
            urls = server.worker_urls()
            alice = await register(http, urls, "alice")
            bob = await register(http, urls, "bob")
            room_id = await alice.create_room(preset="public_chat")
            await bob.join(room_id)
            await bob.sync(at=urls[-1])
            pairs = itertools.cycle([(one, other) for one in urls for other in urls if one != other or len(urls) == 1])
            for number in range(_ROUNDS):
                write_at, read_at = next(pairs)
                await _READS[number % len(_READS)](alice, bob, room_id, write_at, read_at)

    asyncio.run(play())


async def reads_the_event(alice: User, bob: User, room_id: str, write_at: str, read_at: str) -> None:
    text = unique("text")
    event_id = await alice.send(room_id, text, at=write_at)
    event = await bob.get(("rooms", room_id, "event", event_id), at=read_at)
    assert event["content"]["body"] == text


async def syncs_the_event(alice: User, bob: User, room_id: str, write_at: str, read_at: str) -> None:
    await bob.sync(at=read_at)  # so that few events lie between this and the next
    text = unique("text")
    await alice.send(room_id, text, at=write_at)
    answer = await bob.sync(at=read_at)
    assert bodies(timeline(answer, room_id)) == [text]


async def pages_to_the_event(alice: User, bob: User, room_id: str, write_at: str, read_at: str) -> None:
    text = unique("text")
    await alice.send(room_id, text, at=write_at)
    page = await bob.get(("rooms", room_id, "messages"), query={"dir": "b", "limit": 1}, at=read_at)
    assert bodies(page["chunk"]) == [text]


async def reads_the_state(alice: User, bob: User, room_id: str, write_at: str, read_at: str) -> None:
    topic = unique("topic")
    await alice.put(("rooms", room_id, "state", "m.room.topic", ""), {"topic": topic}, at=write_at)
    assert await bob.get(("rooms", room_id, "state", "m.room.topic", ""), at=read_at) == {"topic": topic}


async def reads_the_profile(alice: User, bob: User, room_id: str, write_at: str, read_at: str) -> None:
    name = unique("name")
    await alice.put(("profile", alice.user_id, "displayname"), {"displayname": name}, at=write_at)
    assert await bob.get(("profile", alice.user_id, "displayname"), at=read_at) == {"displayname": name}


async def reads_the_account_data(alice: User, bob: User, room_id: str, write_at: str, read_at: str) -> None:
    content = {"number": random.randrange(1_000_000)}
    path = ("user", alice.user_id, "account_data", "org.example.play")
    await alice.put(path, content, at=write_at)
    assert await alice.get(path, at=read_at) == content


async def uses_a_new_session_and_loses_it(alice: User, bob: User, room_id: str, write_at: str, read_at: str) -> None:
    """A token works everywhere when it is told, and nowhere when its logout is acknowledged."""
    carol = await register(alice.http, [write_at], "carol")
    assert (await carol.get(("account", "whoami"), at=read_at))["user_id"] == carol.user_id
    await carol.post(("logout",), at=write_at)
    await carol.get(("account", "whoami"), at=read_at, status=401, errcode="M_UNKNOWN_TOKEN")


_READS = (
    *(reads_the_event, syncs_the_event, pages_to_the_event, reads_the_state, reads_the_profile),
    *(reads_the_account_data, uses_a_new_session_and_loses_it),
)
