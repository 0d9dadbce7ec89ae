"""matrix-nio with its encryption: keys go up, are claimed and shared, messages are read by those who have them."""

import asyncio
from pathlib import Path

from nio import (
    JoinResponse,
    LoginResponse,
    MegolmEvent,
    RoomCreateResponse,
    RoomMessageText,
    RoomSendResponse,
    SyncResponse,
)

from tests.scenarios.client import PASSWORD
from tests.scenarios.nio_client import SpreadClient, good, registered
from tests.scenarios.server import Server

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


def test_encrypted_messages_are_read_by_all_devices(server: Server, tmp_path: Path) -> None:
    async def play() -> None:
        urls = [server.url, *server.worker_urls()]
        stores = [tmp_path / name for name in ("alice", "bob", "later")]
        for store in stores:
            store.mkdir()
        async with (
            registered(urls, "alice", str(stores[0])) as alice,
            registered(urls, "bob", str(stores[1])) as bob,
        ):
            options = {"invite": [bob.user_id], "initial_state": [ENCRYPTION]}
            room_id = good(await alice.room_create(**options), RoomCreateResponse).room_id
            await bob.sync_until(lambda response: room_id in response.rooms.invite)
            good(await bob.join(room_id), JoinResponse)
            for client in (alice, bob):
                await keep_keys(client)
                await client.sync_until(lambda response: room_id in response.rooms.join)
                await keep_keys(client)
            await alice.sync_until(lambda response: bob.user_id in alice.rooms[room_id].users)
            await say(alice, room_id, "hello")
            await read(bob, room_id, "hello")
            await say(bob, room_id, "an answer")
            await read(alice, room_id, "an answer")
            later = SpreadClient(urls, bob.user_id, str(stores[2]))
            try:
                good(await later.login(PASSWORD), LoginResponse)
                await keep_keys(later)
                good(await later.sync(full_state=True), SyncResponse)
                # The new device is made known to those who share a room with its user.
                await alice.sync_until(lambda response: bob.user_id in response.device_list.changed)
                await keep_keys(alice)
                await say(alice, room_id, "to both of them")
                await read(later, room_id, "to both of them")
                await read(bob, room_id, "to both of them")
            finally:
                await later.close()

    asyncio.run(play())


async def keep_keys(client: SpreadClient) -> None:
    """What nio's own loop does after each sync."""
    if client.should_upload_keys:
        await client.keys_upload()
    if client.should_query_keys:
        await client.keys_query()


async def say(client: SpreadClient, room_id: str, text: str) -> None:
    await keep_keys(client)
    content = {"msgtype": "m.text", "body": text}
    sent = await client.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
    good(sent, RoomSendResponse)


async def read(client: SpreadClient, room_id: str, text: str) -> None:
    """Until the text has come, decrypted."""

    def is_there(response: SyncResponse) -> bool:
        joined = response.rooms.join.get(room_id)
        events = [] if joined is None else joined.timeline.events
        assert not any(isinstance(event, MegolmEvent) for event in events), "a message came without its key"
        return any(isinstance(event, RoomMessageText) and event.body == text and event.decrypted for event in events)

    await client.sync_until(is_there)
