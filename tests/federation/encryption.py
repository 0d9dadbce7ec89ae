"""An encrypted room of two servers, matrix-nio with its encryption on both sides; the servers are whoever they are."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nio import (
    DeleteDevicesAuthResponse,
    DeleteDevicesResponse,
    JoinResponse,
    LoginResponse,
    RoomCreateResponse,
    SyncResponse,
)

from tests.scenarios.client import PASSWORD
from tests.scenarios.nio_client import SpreadClient, good, registered
from tests.scenarios.test_play_nio_encryption import ENCRYPTION, keep_keys, read, say

_ROUNDS: Final = 30
_ROUND_MS: Final = 1_000


@dataclass(frozen=True)
class Side:
    """A server: where its users go, and how it is ended and comes back with its data."""

    urls: Sequence[str]
    stop: Callable[[], Any]
    start: Callable[[], Any]


def converse(one: Side, other: Side, folder: Path) -> None:
    """Alice is at one server, Bob at the other: keys are claimed and shared across, also with a device that comes
    later, not with one that was deleted, and with each server while the other is away."""
    asyncio.run(_converse(one, other, folder))


async def _converse(one: Side, other: Side, folder: Path) -> None:
    stores = [folder / name for name in ("alice", "bob", "later")]
    for store in stores:
        store.mkdir()
    async with (
        registered(one.urls, "alice", str(stores[0])) as alice,
        registered(other.urls, "bob", str(stores[1])) as bob,
    ):
        room_id = await _meet(alice, bob)
        await say(alice, room_id, "hello")
        await read(bob, room_id, "hello")
        await say(bob, room_id, "an answer")
        await read(alice, room_id, "an answer")
        later = SpreadClient(other.urls, bob.user_id, str(stores[2]))
        try:
            await _add_device(later)
            await _hears_of_devices(alice, bob, {bob.device_id, later.device_id})
            await say(alice, room_id, "to both of them")
            await read(later, room_id, "to both of them")
            await read(bob, room_id, "to both of them")
            await _delete_device(bob, later.device_id)
        finally:
            await later.close()
        await _hears_of_devices(alice, bob, {bob.device_id})
        for away, speaker, listener in ((other, alice, bob), (one, bob, alice)):
            away.stop()
            # With a new key, which goes to the device of a server that is not there.
            speaker.invalidate_outbound_session(room_id)
            await say(speaker, room_id, f"while {away.urls[0]} is away")
            away.start()
            await read(listener, room_id, f"while {away.urls[0]} is away")


async def _meet(alice: SpreadClient, bob: SpreadClient) -> str:
    options = {"invite": [bob.user_id], "initial_state": [ENCRYPTION]}
    room_id = str(good(await alice.room_create(**options), RoomCreateResponse).room_id)
    await bob.sync_until(lambda response: room_id in response.rooms.invite)
    good(await bob.join(room_id), JoinResponse)
    for client in (alice, bob):
        await keep_keys(client)
        await client.sync_until(lambda response: room_id in response.rooms.join)
    for client, other in ((alice, bob), (bob, alice)):
        for _ in range(_ROUNDS):
            await keep_keys(client)
            if list(client.device_store.active_user_devices(other.user_id)):
                break
            good(await client.sync(timeout=_ROUND_MS), SyncResponse)
    return room_id


async def _add_device(client: SpreadClient) -> None:
    good(await client.login(PASSWORD), LoginResponse)
    await keep_keys(client)
    good(await client.sync(full_state=True), SyncResponse)


async def _delete_device(client: SpreadClient, device_id: str) -> None:
    asked = good(await client.delete_devices([device_id]), DeleteDevicesAuthResponse)
    identifier = {"type": "m.id.user", "user": client.user_id}
    auth = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "session": asked.session}
    good(await client.delete_devices([device_id], auth), DeleteDevicesResponse)


async def _hears_of_devices(client: SpreadClient, of: SpreadClient, devices: set[str]) -> None:
    """Syncs and asks for keys until these are all that it knows: a change may be told of more than once."""
    known: set[str] = set()
    for _ in range(_ROUNDS):
        good(await client.sync(timeout=_ROUND_MS), SyncResponse)
        await keep_keys(client)
        known = {device.id for device in client.device_store.active_user_devices(of.user_id)}
        if known == devices:
            return
    raise AssertionError(f"known are {known}, not {devices}")
