"""Sights of devices are collected, thinned out, and kept until they are written."""

from collections.abc import Sequence
from typing import Any

import pytest

from hs_common.http import last_seen
from hs_common.http.last_seen import INTERVAL_MS, USER_AGENT_LIMIT, LastSeen
from hs_common.http.request import Requester
from hs_common.storage.queries import Arguments, DatabaseUnavailable, Row
from tests.reactor import run

ALICE = Requester("@alice:a", "A", b"")


class Written:
    """Stands for the database; `rows` are (user, device, ip, user agent, ts) as they were written."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.is_away = False

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        if self.is_away:
            raise DatabaseUnavailable("08006", "away")
        assert isinstance(args, Sequence)
        columns: Any = args
        rows = list(zip(*columns, strict=True))
        self.rows += rows
        return len(rows)

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        raise AssertionError("nothing is read")

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        raise AssertionError("nothing is read")


class World:
    def __init__(self) -> None:
        self.now_ms = 1000
        self.written = Written()
        self.seen = LastSeen(self.written, lambda: self.now_ms)


def test_a_device_is_written_once_in_a_while() -> None:
    world = World()
    world.seen.note(ALICE, "10.0.0.1", "Browser")
    world.seen.note(ALICE, "10.0.0.1", "Browser")
    assert run(world.seen.flush()) == 1
    world.now_ms += INTERVAL_MS - 1
    world.seen.note(ALICE, "10.0.0.1", "Browser")
    assert run(world.seen.flush()) == 0
    world.now_ms += 1
    world.seen.note(ALICE, "10.0.0.1", "Browser")
    assert run(world.seen.flush()) == 1
    assert world.written.rows[-1] == ("@alice:a", "A", "10.0.0.1", "Browser", 1000 + INTERVAL_MS)


def test_a_new_address_is_written_soon() -> None:
    world = World()
    world.seen.note(ALICE, "10.0.0.1", "Browser")
    run(world.seen.flush())
    world.seen.note(ALICE, "10.0.0.2", "Browser")
    assert run(world.seen.flush()) == 1


def test_what_a_client_calls_itself_is_made_storable() -> None:
    world = World()
    world.seen.note(ALICE, "10.0.0.1", "a\0b" * 1000)
    run(world.seen.flush())
    user_agent = world.written.rows[0][3]
    assert "\0" not in user_agent
    assert len(user_agent) <= USER_AGENT_LIMIT


def test_a_requester_without_a_device_leaves_no_trace() -> None:
    world = World()
    world.seen.note(Requester("@bot:a", None, b""), "10.0.0.1", "bot")
    assert run(world.seen.flush()) == 0


def test_sights_outlast_a_database_that_is_away() -> None:
    world = World()
    world.seen.note(ALICE, "10.0.0.1", "Browser")
    world.written.is_away = True
    with pytest.raises(DatabaseUnavailable):
        run(world.seen.flush())
    world.written.is_away = False
    assert run(world.seen.flush()) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_seen, "REMEMBERED_LIMIT", 2)
    world = World()
    for name in "ABC":
        world.seen.note(Requester("@alice:a", name, b""), "10.0.0.1", "")
    assert run(world.seen.flush()) == 2
    world.seen.note(Requester("@alice:a", "C", b""), "10.0.0.1", "")
    assert run(world.seen.flush()) == 1
    world.seen.note(Requester("@alice:a", "A", b""), "10.0.0.1", "")  # forgotten meanwhile, so written again
    assert run(world.seen.flush()) == 1
