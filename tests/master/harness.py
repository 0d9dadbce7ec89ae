"""The master's own pipeline on a real PostgreSQL, in one process, without network: for tests that need a history.

async with master(database_url) as m:
    room = await m.create_room("@alice:test")
    event_id = await m.send(room, "@alice:test", "hello")
"""

import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from hs_common.matrix.signing import SigningKey
from hs_common.process.background import Background
from hs_common.replication.calls import (
    Answer,
    AppendedEvents,
    AppendEvents,
    Call,
    CreateRoom,
    Intent,
    NewRoomEvent,
    RoomCreated,
)
from hs_common.replication.entry import Entry
from hs_common.replication.ephemeral import Message, decode_message
from hs_common.storage.database import Database
from hs_master import tables
from hs_master.desk import Desk
from hs_master.ephemeral import EphemeralDesk
from hs_master.leadership import Election
from hs_master.leading import Term
from hs_master.log_store.postgres import PostgresLogStore
from hs_master.log_store.types import Candidate
from hs_master.pipeline.rehearsal import Rehearse, nothing_ends
from hs_master.pipeline.writer import WriterMetrics
from hs_master.rooms.compose import Composer
from tests.reactor import reactor

SERVER = "test"
KEY = SigningKey("a_test", b"\x01" * 32)
START_MS = 1_700_000_000_000


class TestMaster:
    """A leading master. `entries` is what it has published, `told` what is not kept, `now_ms` its wall clock, which
    moves with each batch."""

    __test__ = False

    def __init__(self, db: Database, desk: Desk, term: Term, entries: list[Entry], told: list[Message | None]) -> None:
        self.db = db
        self.desk = desk
        self.writer = term.writer
        self.jobs = term.jobs
        self.entries = entries
        self.told = told
        self._transactions = itertools.count()

    async def call(self, call: Call, key: bytes | None = None) -> Answer:
        """As a worker's link."""
        return await self.desk.call(call, key)

    async def create_room(
        self,
        creator: str,
        *,
        version: str = "12",
        events: list[NewRoomEvent] | None = None,
        creation: dict[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """A public room with its creator in it. `creation`: more for the create event."""
        first = [
            NewRoomEvent(type="m.room.member", state_key=creator, content={"membership": "join"}),
            NewRoomEvent(type="m.room.power_levels", state_key="", content=_power_levels(creator, version)),
            NewRoomEvent(type="m.room.join_rules", state_key="", content={"join_rule": "public"}),
            NewRoomEvent(type="m.room.history_visibility", state_key="", content={"history_visibility": "shared"}),
        ]
        content: dict[str, Any] = {"room_version": version, **(creation or {})}
        if version in {str(number) for number in range(1, 11)}:
            content["creator"] = creator
        room_id = None if version == "12" else f"!r{next(self._transactions)}:{SERVER}"
        answer = await self.call(
            CreateRoom(
                sender=creator,
                room_version=version,
                room_id=room_id,
                create_content=content,
                events=first + (events or []),
                **options,
            )
        )
        assert isinstance(answer, RoomCreated)
        return answer.room_id

    async def event(self, room_id: str, sender: str, event_type: str, content: dict[str, Any], **more: Any) -> str:
        """Append one event; its id."""
        intent = Intent(room_id=room_id, sender=sender, type=event_type, content=content, **more)
        answer = await self.call(AppendEvents(intents=[intent]))
        assert isinstance(answer, AppendedEvents)
        return answer.event_ids[0]

    async def send(self, room_id: str, sender: str, body: str, **content: Any) -> str:
        """A text message."""
        return await self.event(room_id, sender, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    async def member(self, room_id: str, sender: str, membership: str, target: str | None = None, **more: Any) -> str:
        """A membership change of `target` (the sender himself if None)."""
        user_id = sender if target is None else target
        content = {"membership": membership, **more}
        return await self.event(room_id, sender, "m.room.member", content, state_key=user_id)


def _power_levels(creator: str, version: str) -> dict[str, Any]:
    return {"users": {} if version == "12" else {creator: 100}}


@asynccontextmanager
async def master(
    database_url: str,
    hear: Callable[[Entry], None] = lambda entry: None,
    server: str = SERVER,
    key: SigningKey = KEY,
    rehearse: Rehearse = nothing_ends,
) -> AsyncIterator[TestMaster]:
    """A master that leads on a migrated database, until the block ends. `hear` is told what it publishes."""
    random = Random(7)
    db = Database(database_url, reactor, random.random, size=2)
    ticks = itertools.count()
    store = PostgresLogStore(database_url, reactor, db, lambda: START_MS * 1000, tables.ORDER)

    async def nothing() -> None:
        return None

    async def no_stream() -> int:
        return 0

    candidate = Candidate(str(uuid.UUID(int=random.getrandbits(128))), "127.0.0.1:1", 1, 1)
    election = Election(store, candidate, reactor, nothing, no_stream)
    entries: list[Entry] = []
    told: list[Message | None] = []

    def publish(entry: Entry) -> None:
        entries.append(entry)
        hear(entry)

    desk = Desk(lambda: election.is_leader, election.check)
    background = Background()
    term = Term(
        leadership=await election.lead(),
        log=store,
        election=election,
        desk=desk,
        db=db,
        clock=reactor,
        composer=Composer(server, key, lambda: f"$e{next(ticks)}:{server}"),
        server_name=server,
        publish=publish,
        on_new_epoch=lambda leadership: None,
        ephemeral=EphemeralDesk(reactor, lambda: START_MS, lambda counter, body: told.append(decode_message(body))),
        metrics=WriterMetrics(),
        now_ms=lambda: START_MS + next(ticks),
        new_batch_id=lambda: str(uuid.UUID(int=random.getrandbits(128))),
        background=background,
        rehearse=rehearse,
    )
    term.start()
    try:
        yield TestMaster(db, desk, term, entries, told)
    finally:
        await term.stop()
        await election.step_down()
        await background.drained()
        await db.close()
