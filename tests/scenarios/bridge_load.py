"""A bridge in full flood, and a witness of what its service is told: for plays in which processes are killed.

Nothing may be lost, nothing told under a second transaction id, no transaction be changed in a repetition, and each
room's events come in order.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson

from tests.bench.service import Service
from tests.scenarios.client import Caller, Json, http_session, unique
from tests.scenarios.server import Server
from tests.scenarios.services import register, registration

LIMIT_S = 60.0
_PAUSE_S = 0.2


class Witness(Service):
    """Writes down every transaction, the repeated ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions: dict[bytes, list[str]] = {}
        self.changed: list[bytes] = []
        self.order: list[str] = []

    def _answer(self, path: bytes, body: bytes) -> bytes:
        if b"/transactions/" in path:
            self._note(path.rpartition(b"/")[2], [event["event_id"] for event in orjson.loads(body)["events"]])
        return super()._answer(path, body)

    def _note(self, txn_id: bytes, event_ids: list[str]) -> None:
        first = self.transactions.get(txn_id)
        if first is None:
            self.transactions[txn_id] = event_ids
            self.order += event_ids
        elif first != event_ids:
            self.changed.append(txn_id)


class Lane:
    """One ghost that sends one message after the other into a room of its own; each until it is acknowledged."""

    def __init__(self, bot: Caller, user_id: str, room_id: str) -> None:
        self._bot = bot
        self._user_id = user_id
        self._room_id = room_id
        self._numbers = itertools.count()
        self.sent: list[str] = []

    async def send_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            self.sent.append(await self._send(f"{next(self._numbers)}"))

    async def _send(self, text: str) -> str:
        path = ("rooms", self._room_id, "send", "m.room.message", text)
        while True:
            try:
                body = {"msgtype": "m.text", "body": text}
                answer = await self._bot.ask("PUT", path, body, query={"user_id": self._user_id})
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(_PAUSE_S)
                continue
            if answer.status == 200:
                return str(answer.body["event_id"])
            assert answer.status in (429, 502, 503), f"{answer.status} {answer.body}"
            await asyncio.sleep(_PAUSE_S)


async def _lane(bot: Caller, known: Json) -> Lane:
    """A ghost in a new room of the bot's."""
    name = f"{known['id']}_{unique('g')}"
    made = await bot.post(
        ("register",), {"type": "m.login.application_service", "username": name, "inhibit_login": True}
    )
    room_id = (await bot.post(("createRoom",), {"preset": "public_chat"}))["room_id"]
    await bot.call("POST", ("join", room_id), {}, query={"user_id": made["user_id"]})
    return Lane(bot, made["user_id"], room_id)


@asynccontextmanager
async def flood(server: Server, folder: Path, rooms: int) -> AsyncIterator[list[Lane]]:
    """Ghosts that send into so many rooms until the block ends; then what the service was told is looked at."""
    witness = Witness()
    known = registration(await witness.start())
    await asyncio.to_thread(register, server, known, folder)
    async with http_session() as http:
        bot = Caller(http, [server.url, *map(server.url_of, server.workers("client"))])
        bot.access_token = known["as_token"]
        lanes = [await _lane(bot, known) for _ in range(rooms)]
        over = asyncio.Event()
        sending = [asyncio.create_task(one.send_until(over)) for one in lanes]
        try:
            yield lanes
        finally:
            over.set()
            await asyncio.gather(*sending)
        await _all_told(witness, lanes)
    witness.stop()


async def _all_told(witness: Witness, lanes: Sequence[Lane]) -> None:
    """Waits until the service has been told of everything, and looks how."""
    sent = {event_id for one in lanes for event_id in one.sent}
    for _ in range(int(LIMIT_S / _PAUSE_S)):
        if sent <= set(witness.order):
            break
        await asyncio.sleep(_PAUSE_S)
    assert sent - set(witness.order) == set(), "never told"
    assert witness.changed == [], "transactions that were not repeated as they were"
    assert len(witness.order) == len(set(witness.order)), "events under two transaction ids"
    for one in lanes:
        told = [event_id for event_id in witness.order if event_id in set(one.sent)]
        assert told == one.sent, "out of order"
