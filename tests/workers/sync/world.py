"""A real master on a real PostgreSQL, and /sync answered over what it wrote: by the general way, at any position."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from hs_common.matrix.filters import EVERYTHING, Filter, parse_filter
from hs_common.matrix.tokens import SyncToken, parse_sync_token
from hs_common.process.background import Background
from hs_common.reading.settings import TYPES, read_settings
from hs_common.replication.calls import ReceiptMark, SetAccountData, SetReceipts
from hs_common.replication.ephemeral_view import EphemeralView
from hs_common.storage import log, sync_personal
from hs_workers.sync.general import GeneralWay, Question
from hs_workers.sync.members_sent import MembersSent
from hs_workers.sync.parameters import Reader, Wishes
from tests.master.harness import START_MS, TestMaster, master

NOW_MS = START_MS + 1_000_000
ALICE, BOB, CAROL, DAVE = "@alice:test", "@bob:test", "@carol:test", "@dave:test"
Body = dict[str, Any]


class World:
    """What a test does and sees. `device` is the device of whoever syncs."""

    def __init__(self, m: TestMaster) -> None:
        self.m = m
        self.view = EphemeralView()
        self.members_sent = MembersSent()
        self.background = Background()
        self.general = GeneralWay(m.db, self.view, self.members_sent, lambda: NOW_MS, self.background)

    async def head(self) -> int:
        return await log.head(self.m.db)

    async def question(
        self,
        user_id: str,
        since: str | SyncToken | None = None,
        *,
        at: int | None = None,
        filter: dict[str, Any] | Filter = EVERYTHING,
        device_id: str = "DEVICE",
        lost: bool = False,
        **wishes: bool,
    ) -> Question:
        parsed = filter if isinstance(filter, Filter) else parse_filter(filter)
        rows = await sync_personal.settings(self.m.db, user_id, TYPES)
        return Question(
            Reader(user_id, device_id),
            Wishes(parsed, **wishes),
            read_settings(user_id, dict(rows)),
            parse_sync_token(since) if isinstance(since, str) else since,
            await self.head() if at is None else at,
            lost,
        )

    async def sync(self, user_id: str, since: str | SyncToken | None = None, **options: Any) -> Body:
        """The body of an answer."""
        answer, _ = await self.general.answer(await self.question(user_id, since, **options))
        await self.background.drained()
        body: Body = orjson.loads(answer.body)
        return body

    async def read(self, user_id: str, room_id: str, event_id: str, kind: Any = "m.read", thread: str = "") -> None:
        """A receipt."""
        mark = ReceiptMark(receipt_type=kind, event_id=event_id, thread_id=thread)
        await self.m.call(SetReceipts(room_id=room_id, user_id=user_id, receipts=[mark]))

    async def set_data(self, user_id: str, data_type: str, content: Any, room_id: str = "") -> None:
        """Account data."""
        encoded = orjson.dumps(content)
        await self.m.call(SetAccountData(user_id=user_id, room_id=room_id, type=data_type, content=encoded))


@asynccontextmanager
async def world(database_url: str) -> AsyncIterator[World]:
    """A world with its own log."""
    async with master(database_url) as m:
        yield World(m)


def joined(body: Body, room_id: str) -> Body:
    """What an answer tells of a joined room."""
    room: Body = body["rooms"]["join"][room_id]
    return room


def bodies(room: Body) -> list[str]:
    """The texts of the messages in a room's timeline."""
    return [event["content"]["body"] for event in room["timeline"]["events"] if event["type"] == "m.room.message"]


def types(events: list[Body]) -> list[tuple[str, str | None]]:
    """The types and state keys of events."""
    return [(event["type"], event.get("state_key")) for event in events]
