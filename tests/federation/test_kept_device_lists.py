"""A server asks another one once for a user's devices, and hears of changes; it asks again when it cannot know."""

import asyncio
from urllib.request import urlopen

from tests.federation.pair import Pair
from tests.federation.steps import membership, until
from tests.scenarios.client import User, http_session, register

ENDPOINTS = (
    'endpoint="/_matrix/federation/v1/user/devices/{userId}"',
    'endpoint="/_matrix/federation/v1/user/keys/query"',
)
TRIES = 900
"""A minute and a half, also of a machine that has much to do."""


def test_a_device_list_is_asked_for_once_and_again_when_something_is_missing(pair: Pair) -> None:
    async def played() -> None:
        async with http_session() as http:
            alice = await register(http, [pair.a.url], "alice")
            bob = await register(http, [pair.b.url], "bob")
            await _play(pair, alice, bob)

    asyncio.run(played())


async def _play(pair: Pair, alice: User, bob: User) -> None:
    room_id = await alice.create_room(preset="private_chat", invite=[bob.user_id])
    await _enter(alice, bob, room_id)
    await _upload(bob, "a")

    async def knows(value: str) -> bool:
        answer = await alice.post(("keys", "query"), {"device_keys": {bob.user_id: []}})
        assert answer["failures"] == {}
        devices = answer["device_keys"].get(bob.user_id, {})
        return bool(devices) and devices[bob.device_id]["keys"][f"curve25519:{bob.device_id}"] == value * 43

    async def is_kept(value: str) -> bool:
        """Nobody is asked; what his server told of his joining may have to come first."""
        asked = _asked(pair)
        return all([await knows(value) for _ in range(3)]) and _asked(pair) == asked

    await until(lambda: is_kept("a"), TRIES)
    await _upload(bob, "b")
    await until(lambda: is_kept("b"), TRIES)
    # As if an update had been lost on the way.
    asked = _asked(pair)
    pair.run_at_a("UPDATE remote_device_lists SET stream_id = stream_id - 1 WHERE user_id = %s", bob.user_id)
    await _upload(bob, "c")
    await until(lambda: is_kept("c"), TRIES)
    assert _asked(pair) > asked
    # While they share no room nobody says what changes.
    await bob.post(("rooms", room_id, "leave"))
    await _becomes(alice, bob, room_id, "leave")
    await _upload(bob, "d")
    await alice.post(("rooms", room_id, "invite"), {"user_id": bob.user_id})
    await _enter(alice, bob, room_id)
    asked = _asked(pair)
    assert await knows("d")
    assert _asked(pair) > asked


async def _enter(alice: User, bob: User, room_id: str) -> None:
    await until(lambda: _is_invited(bob, room_id), TRIES)
    await bob.join(room_id)
    await _becomes(alice, bob, room_id, "join")


async def _becomes(alice: User, bob: User, room_id: str, value: str) -> None:
    async def look() -> bool:
        return bool(await membership(alice, room_id, bob.user_id) == value)

    await until(look, TRIES)


async def _is_invited(user: User, room_id: str) -> bool:
    user.since = None
    return room_id in (await user.sync()).get("rooms", {}).get("invite", {})


async def _upload(user: User, value: str) -> None:
    """Other keys of the same device: nobody here looks whether they are signed."""
    device = {
        "user_id": user.user_id,
        "device_id": user.device_id,
        "algorithms": ["m.megolm.v1.aes-sha2"],
        "keys": {f"ed25519:{user.device_id}": "e" * 43, f"curve25519:{user.device_id}": value * 43},
        "signatures": {user.user_id: {f"ed25519:{user.device_id}": "s" * 86}},
    }
    await user.post(("keys", "upload"), {"device_keys": device})


def _asked(pair: Pair) -> int:
    """How often b.test was asked for a list or for keys."""
    with urlopen(f"http://127.0.0.1:{pair.b.port}/metrics") as response:
        lines = response.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("viaduct_http_request_seconds_count{")]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in counts if any(one in line for one in ENDPOINTS))
