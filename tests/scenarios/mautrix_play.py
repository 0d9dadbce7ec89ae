"""A service made with mautrix plays: many ghosts, ephemeral data and messages to devices in its transactions."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mautrix.api import Method
from mautrix.api import Path as Path3
from mautrix.types import EventID, EventType, PresenceState, UserID

from tests.scenarios.client import http_session, register
from tests.scenarios.server import Server
from tests.scenarios.services import mautrix_service

_AT_ONCE = 20
_LIMIT_S = 120.0


class Heard:
    """What the service was told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._news = asyncio.Event()

    def tell(self, event: Any) -> None:
        self.events.append(event)
        self._news.set()

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if str(event.type) == kind]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(_LIMIT_S):
            while not condition():
                await self._news.wait()
                self._news.clear()


async def play(server: Server, folder: Path, ghosts: int) -> None:
    """With so many ghosts."""
    heard = Heard()
    async with http_session() as http, mautrix_service(server, folder, heard.tell) as bridge:
        alice = await register(http, [server.url], "alice")
        assert await bridge.ping_self() >= 0
        room_id = await bridge.intent.create_room(invitees=[alice.user_id])
        await alice.join(room_id)
        prefix = bridge.id
        free = asyncio.Semaphore(_AT_ONCE)

        async def settle(number: int) -> None:
            async with free:
                ghost = bridge.intent.user(UserID(f"@{prefix}_{number}:localhost"))
                await ghost.ensure_registered()
                await ghost.set_displayname(f"Ghost {number}")
                await bridge.intent.invite_user(room_id, ghost.mxid)
                await ghost.ensure_joined(room_id)
                await ghost.send_text(room_id, f"hello from {number}")

        await asyncio.gather(*(settle(number) for number in range(ghosts)))
        texts = {f"hello from {number}" for number in range(ghosts)}
        await heard.until(lambda: texts <= {event.content.body for event in heard.of("m.room.message")})
        received = [event.event_id for event in heard.events if getattr(event, "event_id", None)]
        assert len(received) == len(set(received))
        joined = await alice.get(("rooms", room_id, "joined_members"))
        names = {member["display_name"] for member in joined["joined"].values() if "display_name" in member}
        assert {f"Ghost {number}" for number in range(ghosts)} <= names

        ghost = bridge.intent.user(UserID(f"@{prefix}_0:localhost"))
        sent = await alice.send(room_id, "hello ghosts")
        await heard.until(lambda: any(event.event_id == sent for event in heard.of("m.room.message")))
        await alice.put(("rooms", room_id, "typing", alice.user_id), {"typing": True, "timeout": 20_000})
        await heard.until(lambda: any(alice.user_id in one.content.user_ids for one in heard.of("m.typing")))
        await alice.post(("rooms", room_id, "receipt", "m.read", sent), {})
        await heard.until(lambda: any(sent in one.content for one in heard.of("m.receipt")))
        await ghost.set_presence(PresenceState.ONLINE)
        await ghost.mark_read(room_id, EventID(sent))

        await ghost.api.request(Method.PUT, Path3.v3.devices["BRIDGE"], {"display_name": "bridge"})
        content = {"type": "m.room_key_request"}
        message = {"messages": {ghost.mxid: {"BRIDGE": content}}}
        await alice.put(("sendToDevice", "m.play", "once"), message)
        await heard.until(lambda: heard.of("m.play"))
        told = heard.of("m.play")[0]
        assert (told.sender, told.to_user_id, told.to_device_id) == (alice.user_id, ghost.mxid, "BRIDGE")
        history = await alice.history(room_id, page=100)
        assert len([one for one in history if one["type"] == str(EventType.ROOM_MESSAGE)]) == ghosts + 1
