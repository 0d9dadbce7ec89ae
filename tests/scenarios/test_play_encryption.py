"""Two clients with keys at real processes: what one publishes, the other is told of; keys and messages come once."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.scenarios.client import Json, User, http_session, register, unique
from tests.scenarios.server import Server

Play = Callable[[User, User, str], Awaitable[None]]

ALGORITHM = "signed_curve25519"


def run(server: Server, play: Play) -> None:
    """Play with Alice and Bob, who share a room, and whose clients are up to date."""

    async def prepared() -> None:
        async with http_session() as http:
            urls = server.worker_urls()
            alice, bob = [await register(http, urls, name) for name in ("alice", "bob")]
            room_id = await alice.create_room(invite=[bob.user_id])
            await bob.join(room_id)
            for user in (alice, bob):
                await user.sync()
            await play(alice, bob, room_id)

    asyncio.run(prepared())


def device_keys(user: User) -> Json:
    """Keys of the right shape; servers do not look into them."""
    names = [f"{algorithm}:{user.device_id}" for algorithm in ("ed25519", "curve25519")]
    return {
        "user_id": user.user_id,
        "device_id": user.device_id,
        "algorithms": ["m.megolm.v1.aes-sha2"],
        "keys": {name: f"key {name}" for name in names},
        "signatures": {user.user_id: {names[0]: "signature"}},
    }


def one_time_keys(count: int) -> Json:
    return {f"{ALGORITHM}:{number}": {"key": f"{number}", "signatures": {}} for number in range(count)}


def test_published_keys_are_told_and_given_out_once(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        body = {"device_keys": device_keys(alice), "one_time_keys": one_time_keys(5)}
        waits = asyncio.ensure_future(bob.sync_until(lambda answer: answer["device_lists"]["changed"]))
        counts = await alice.post(("keys", "upload"), body)
        assert counts == {"one_time_key_counts": {ALGORITHM: 5}}
        assert (await waits)["device_lists"]["changed"] == [alice.user_id]
        queried = await bob.post(("keys", "query"), {"device_keys": {alice.user_id: []}})
        assert queried["device_keys"][alice.user_id] == {alice.device_id: {**device_keys(alice), "unsigned": {}}}
        await alice.sync_until(lambda answer: answer["device_one_time_keys_count"] == {ALGORITHM: 5})
        wanted = {"one_time_keys": {alice.user_id: {alice.device_id: ALGORITHM}}}
        claimed = await asyncio.gather(*[bob.post(("keys", "claim"), wanted) for _ in range(8)])
        given = [
            name for one in claimed for name in one["one_time_keys"].get(alice.user_id, {}).get(alice.device_id, {})
        ]
        assert sorted(given) == sorted(one_time_keys(5))
        await alice.sync_until(lambda answer: answer["device_one_time_keys_count"] == {ALGORITHM: 0})

    run(server, play)


def test_messages_to_devices_come_once_and_wake(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        received: list[int] = []

        def heard(answer: Json) -> bool:
            received.extend(event["content"]["n"] for event in answer.get("to_device", {}).get("events", ()))
            return len(received) >= 20

        waits = asyncio.ensure_future(bob.sync_until(heard))
        for number in range(20):
            path = ("sendToDevice", "org.example", unique("t"))
            body = {"messages": {bob.user_id: {"*": {"n": number}}}}
            await asyncio.gather(*[alice.put(path, body) for _ in range(3)])
        await waits
        assert received == list(range(20))
        assert "to_device" not in await bob.sync()

    run(server, play)


def test_a_deleted_device_is_told_and_its_keys_are_gone(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        await alice.post(("keys", "upload"), {"device_keys": device_keys(alice), "one_time_keys": one_time_keys(1)})
        await bob.sync_until(lambda answer: alice.user_id in answer["device_lists"]["changed"])
        await alice.post(("logout",))
        await bob.sync_until(lambda answer: alice.user_id in answer["device_lists"]["changed"])
        queried = await bob.post(("keys", "query"), {"device_keys": {alice.user_id: []}})
        assert queried["device_keys"] == {alice.user_id: {}}
        wanted = {"one_time_keys": {alice.user_id: {alice.device_id: ALGORITHM}}}
        assert (await bob.post(("keys", "claim"), wanted))["one_time_keys"] == {}

    run(server, play)
