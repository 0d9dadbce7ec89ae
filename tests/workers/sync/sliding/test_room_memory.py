"""What is kept of rooms for sliding sync: whatever is read when, it says what reading everything anew would say."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.replication.items import EventItem, StateChange
from hs_common.storage import sliding
from hs_workers.sync.sliding.room_memory import ENCRYPTION, Activity, Asked, RoomMemory

ROOMS = ("!a", "!b", "!c")


@dataclass
class Database:
    """Rooms: where something happened in them, and where the state changed. Statements look at it as of a position."""

    memory: RoomMemory = field(init=False)
    pos: int = 10
    events: dict[str, list[int]] = field(default_factory=lambda: {room: [] for room in ROOMS})
    changes: dict[str, list[int]] = field(default_factory=lambda: {room: [3] for room in ROOMS})
    encrypted_at: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    meanwhile: list[tuple[str, bool, bool]] = field(default_factory=list)
    """Events that come while the next statement runs."""

    def append(self, room: str, is_state: bool, encrypts: bool) -> None:
        self.pos += 1
        self.events[room].append(self.pos)
        if is_state:
            self.changes[room].append(self.pos)
        change = []
        if is_state and encrypts:
            self.encrypted_at.setdefault(room, self.pos)
            change = [StateChange(ENCRYPTION, "", None, f"${self.pos}")]
        head = (room, f"${self.pos}", "12", b"", "@a:x", "m", None, self.pos, 0, 0, 0, None, None, 0)
        self.memory.apply(EventItem(*head, [], change, [], [], [], [], None, None, None))

    def _come(self, name: str) -> None:
        self.asked.append(name)
        for one in self.meanwhile:
            self.append(*one)
        self.meanwhile.clear()

    async def newest_events(self, db: object, rooms: Sequence[str], upto: int) -> list[Any]:
        self._come("events")
        return [(room, max([p for p in self.events[room] if p <= upto], default=None)) for room in rooms]

    async def newest_changes(self, db: object, rooms: Sequence[str], upto: int) -> list[Any]:
        self._come("changes")
        return [(room, max(p for p in self.changes[room] if p <= upto)) for room in rooms]

    async def types(self, db: object, rooms: Sequence[str]) -> list[Any]:
        self._come("types")
        return [(room, f"type of {room}", None) for room in rooms]

    async def encrypted(self, db: object, rooms: Sequence[str], upto: int) -> list[Any]:
        self._come("encrypted")
        return [(room, self.encrypted_at.get(room, upto + 1) <= upto) for room in rooms]

    def changed(self, room: str) -> int:
        return max(*self.events[room], *self.changes[room], 0)


@pytest.fixture(name="database")
def made(monkeypatch: pytest.MonkeyPatch) -> Database:
    return database_of(monkeypatch)


def database_of(monkeypatch: pytest.MonkeyPatch) -> Database:
    database = Database()
    database.memory = RoomMemory(None)  # type: ignore[arg-type]  # nothing but the statements below is asked of it
    for name in ("newest_events", "newest_changes", "types", "encrypted"):
        monkeypatch.setattr(sliding, name, getattr(database, name))
    return database


def read(database: Database, asked: Asked) -> None:
    """As for a request: until nothing is missing."""
    for _ in range(5):
        if not asyncio.run(database.memory.read(asked, database.pos)):
            return
    raise AssertionError("something is missing still")


_EVENTS = st.tuples(st.sampled_from(ROOMS), st.booleans(), st.booleans())
_READS = st.tuples(
    st.dictionaries(st.sampled_from(ROOMS), st.integers(0, 30), min_size=1),
    st.booleans(),
    st.lists(_EVENTS, max_size=3),
)


@given(st.lists(st.one_of(_EVENTS.map(lambda one: ("event", one)), _READS.map(lambda one: ("read", one))), max_size=12))
def test_what_is_known_is_what_reading_anew_would_find(steps: list[tuple[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        database = database_of(patch)
        for kind, step in steps:
            if kind == "event":
                database.append(*step)
                continue
            told, with_facts, meanwhile = step
            told = {room: min(upto, database.pos) for room, upto in told.items()}
            database.meanwhile = list(meanwhile)
            facts = list(told) if with_facts else []
            read(database, Asked(list(told), told, facts, facts))
            for room, upto in told.items():
                known = database.memory.activity[room]
                assert known.last == max(database.events[room], default=0)
                assert known.changed >= database.changed(room)
                assert (max(known.last, known.changed) > upto) == (database.changed(room) > upto)
            for room in facts:
                assert database.memory.types[room] == f"type of {room}"
                assert database.memory.encrypted[room] == (room in database.encrypted_at)


def test_state_is_not_read_of_rooms_that_were_not_told(database: Database) -> None:
    read(database, Asked(ROOMS, types=ROOMS))
    assert database.asked == ["events", "types"]
    told = dict.fromkeys(ROOMS, database.pos)
    read(database, Asked(ROOMS, told))  # as of the first answer: nothing can have changed since
    database.append("!a", True, False)
    read(database, Asked(ROOMS, told))
    assert database.asked == ["events", "types"]
    assert database.memory.activity["!a"] == Activity(database.pos, database.pos, is_exact=False)
    read(database, Asked(ROOMS, {"!a": 1, "!b": 5}))
    assert database.asked == ["events", "types", "changes"]
    assert database.memory.activity["!b"] == Activity(0, 3)
