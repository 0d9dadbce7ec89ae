"""Members: rows of processes, and who lives by the observer's own clock."""

import uuid
from dataclasses import replace

from twisted.internet.task import Clock

from hs_common.storage import members
from hs_common.storage.database import Database
from hs_common.storage.members import ABSENT_AFTER_S, AWAY_AFTER_S, Freshness, LeaderAddress, Member, find_workers
from tests.reactor import reactor, run


def member(name: int, *roles: str, http_port: int | None = 8008, beat: int = 0) -> Member:
    return Member(str(uuid.UUID(int=name)), roles, "0.1.0", 1, 1, f"10.0.0.{name}", http_port, 0, beat)


def test_a_process_registers_beats_and_leaves(database_url: str) -> None:
    async def check() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=1)
        one, two = member(1, "client", "sync"), member(2, "push", http_port=None)
        assert not await members.beat(db, one.id)
        await members.register(db, one)
        await members.register(db, two)
        assert await members.members(db) == [one, two]
        assert await members.beat(db, one.id, lag_ms=7)
        assert await members.members(db) == [replace(one, lag_ms=7, beat=1), two]
        await members.register(db, one)
        assert (await members.members(db))[0].beat == 2
        await members.remove(db, two.id)
        await db.execute("UPDATE members SET seen = seen - interval '2 days'")
        assert await members.sweep(db) == 1
        assert await members.members(db) == []
        await db.close()

    run(check())


def test_the_leader_is_found_by_its_row(database_url: str) -> None:
    async def check() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=1)
        assert await members.find_leader(db) is None
        holder = str(uuid.UUID(int=5))
        await db.execute("UPDATE leader SET epoch = 9, holder = %s, address = '10.0.0.5:9000'", (holder,))
        assert await members.find_leader(db) == LeaderAddress(9, holder, "10.0.0.5:9000")
        await db.close()

    run(check())


def test_a_beat_that_stands_still_is_absence() -> None:
    clock = Clock()
    freshness = Freshness(clock.seconds)
    still, moving = member(1, "client"), member(2, "client")
    for beat in range(5):
        assert freshness.observe([still, replace(moving, beat=beat)]) == [still, replace(moving, beat=beat)]
        clock.advance(2)
    clock.advance(ABSENT_AFTER_S - 8)
    assert freshness.observe([still, moving]) == [moving]
    woken = replace(still, beat=1)
    assert freshness.observe([woken]) == [woken]


def test_an_observer_that_looked_away_starts_afresh() -> None:
    clock = Clock()
    freshness = Freshness(clock.seconds)
    assert freshness.observe([member(1)]) == [member(1)]
    clock.advance(ABSENT_AFTER_S * 5)
    assert freshness.observe([member(1)]) == [member(1)]


def test_nobody_is_absent_because_the_database_was_away() -> None:
    """All beats stand still then; they move again one after the other, each with its process' own reconnection."""
    clock = Clock()
    freshness = Freshness(clock.seconds)
    freshness.observe([member(1)])
    clock.advance(2)
    freshness.observe([member(1)])
    clock.advance(AWAY_AFTER_S + 2)
    assert freshness.observe([member(1)]) == [member(1)]
    for _ in range(4):
        clock.advance(2)
        assert freshness.observe([member(1)]) == [member(1)]
    clock.advance(4)
    assert freshness.observe([member(1)]) == []


def test_workers_are_found_among_those_who_serve_the_role() -> None:
    living = [member(1, "client"), member(2, "sync"), member(3, "sync", http_port=None), member(4, "sync")]
    assert find_workers(living, "sync") == [living[1], living[3]]
    assert find_workers(living, "media") == []
