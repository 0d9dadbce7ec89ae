"""A bridge made with mautrix that encrypts: keys, messages to its device, device lists and key counts come to it in
transactions alone, since it never syncs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mautrix.appservice import AppService
from mautrix.client import Client
from mautrix.errors import SessionNotFound
from mautrix.types import (
    DeviceID,
    DeviceOTKCount,
    EncryptionAlgorithm,
    EventType,
    MessageType,
    RoomEncryptionStateEventContent,
    RoomID,
    TextMessageEventContent,
    UserID,
)
from nio import LoginResponse, RoomCreateResponse, SyncResponse

from tests.scenarios.client import PASSWORD
from tests.scenarios.mautrix_play import Heard
from tests.scenarios.nio_client import SpreadClient, good, registered
from tests.scenarios.server import Server
from tests.scenarios.services import mautrix_service
from tests.scenarios.test_play_nio_encryption import ENCRYPTION, keep_keys, read, say

pytest.importorskip("olm", reason="needs python-olm, which is built for Python up to 3.12 only")
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.crypto.store import StateStore

LOOKS = 300


class _Rooms(StateStore):
    """All rooms are encrypted, and everybody is in all of them."""

    def __init__(self) -> None:
        self.rooms: list[RoomID] = []

    async def is_encrypted(self, room_id: RoomID) -> bool:
        return True

    async def get_encryption_info(self, room_id: RoomID) -> RoomEncryptionStateEventContent:
        return RoomEncryptionStateEventContent(EncryptionAlgorithm.MEGOLM_V1)

    async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
        return self.rooms


class _Keys:
    """The bot's device, and what transactions have told of it."""

    def __init__(self, bridge: AppService, server: Server) -> None:
        store = MemoryCryptoStore(bridge.id, "pickle")
        self.client = Client(mxid=bridge.bot_mxid, base_url=server.url, sync_store=store)
        self.client.api.token = bridge.as_token
        self.rooms = _Rooms()
        self.machine = OlmMachine(self.client, store, self.rooms)
        self.counts: list[int] = []
        self.changed: set[UserID] = set()
        self._heard = Heard()
        bridge.to_device_handler = self.machine.handle_as_to_device_event
        bridge.otk_handler = self._told_counts
        bridge.device_list_handler = self._told_lists

    async def start(self) -> None:
        await self.client.create_device_msc4190("BRIDGE", "bridge")
        await self.machine.load()
        await self.machine.share_keys()

    async def _told_counts(self, counts: dict[UserID, dict[DeviceID, DeviceOTKCount]]) -> None:
        of_device = counts.get(self.client.mxid, {}).get(self.client.device_id)
        if of_device is not None:
            self.counts.append(of_device.signed_curve25519)
        await self.machine.handle_as_otk_counts(counts)
        self._heard.tell(None)

    async def _told_lists(self, lists: Any) -> None:
        self.changed.update(lists.changed)
        await self.machine.handle_device_lists(lists)
        self._heard.tell(None)

    async def until_changed(self, user_id: str) -> None:
        await self._heard.until(lambda: user_id in self.changed)

    async def until_fewer_than(self, count: int) -> None:
        await self._heard.until(lambda: any(told < count for told in self.counts))

    async def decrypted(self, event: Any) -> str:
        """What the event says, once its key has come: it comes by itself, before the event or after it."""
        for _ in range(LOOKS):
            try:
                return str((await self.machine.decrypt_megolm_event(event)).content.body)
            except SessionNotFound:
                await asyncio.sleep(0.1)
        raise AssertionError("the key never comes")

    async def say(self, room_id: RoomID, reader: str, text: str) -> None:
        await self.machine.share_group_session(room_id, [UserID(reader)])
        content = TextMessageEventContent(msgtype=MessageType.TEXT, body=text)
        encrypted = await self.machine.encrypt_megolm_event(room_id, EventType.ROOM_MESSAGE, content)
        await self.client.send_message_event(room_id, EventType.ROOM_ENCRYPTED, encrypted.serialize())


def test_a_bridge_reads_and_writes_encrypted_messages(server: Server, tmp_path: Path) -> None:
    async def play() -> None:
        stores = [tmp_path / name for name in ("alice", "later")]
        for store in stores:
            store.mkdir()
        urls, heard = [server.url, *server.worker_urls()], Heard()
        async with (
            mautrix_service(server, tmp_path, heard.tell) as bridge,
            registered(urls, "alice", str(stores[0])) as alice,
        ):
            await bridge.intent.ensure_registered()
            keys = _Keys(bridge, server)
            await keys.start()
            options = {"invite": [bridge.bot_mxid], "initial_state": [ENCRYPTION]}
            room_id = RoomID(good(await alice.room_create(**options), RoomCreateResponse).room_id)
            keys.rooms.rooms.append(room_id)
            await bridge.intent.ensure_joined(room_id)
            await alice.sync_until(lambda response: room_id in response.rooms.join)
            await alice.sync_until(lambda response: bridge.bot_mxid in alice.rooms[room_id].users)
            await keep_keys(alice)
            await say(alice, room_id, "hello bridge")
            await heard.until(lambda: heard.of("m.room.encrypted"))
            assert await keys.decrypted(heard.of("m.room.encrypted")[0]) == "hello bridge"
            account = keys.machine.account
            assert account is not None
            await keys.until_fewer_than(account.max_one_time_keys // 2)  # Alice's device has taken one
            await keys.say(room_id, alice.user_id, "hello alice")
            await read(alice, room_id, "hello alice")

            later = SpreadClient(urls, alice.user_id, str(stores[1]))
            try:
                good(await later.login(PASSWORD), LoginResponse)
                keys.changed.clear()
                await keep_keys(later)
                await keys.until_changed(alice.user_id)
                good(await later.sync(full_state=True), SyncResponse)
                await keys.machine.crypto_store.remove_outbound_group_session(room_id)
                await keys.say(room_id, alice.user_id, "to both of them")
                await read(later, room_id, "to both of them")
                await read(alice, room_id, "to both of them")
            finally:
                await later.close()
                await keys.client.api.session.close()

    asyncio.run(play())
