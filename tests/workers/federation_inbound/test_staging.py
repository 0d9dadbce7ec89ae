"""Received events are kept many in one statement; what was taken in goes with the next, or soon by itself."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.storage.inbound_pdus import StagedPdu
from hs_common.storage.queries import DatabaseError
from hs_workers.federation_inbound.staging import LATEST_S, Staging


class Table:
    """The database as the staging sees it: rows, and one statement at a time, which goes on when the test says so."""

    def __init__(self) -> None:
        self.rows: set[tuple[str, str]] = set()
        self.refuses: dict[str, Exception] = {}
        self.statements: list[tuple[int, int]] = []  # kept, removed
        self.running: Deferred[None] | None = None

    async def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        removed = list(zip(args[0], args[1], strict=True))
        kept = list(zip(args[2], args[3], strict=True)) if "INSERT" in sql else []
        assert len(set(kept)) == len(kept), "no statement writes a row twice"
        self.running = Deferred()
        await self.running
        self.statements.append((len(kept), len(removed)))
        for _, event_id in kept:
            if event_id in self.refuses:
                raise self.refuses[event_id]
        self.rows = (self.rows - set(removed)) | set(kept)
        return len(kept)

    def go_on(self) -> None:
        running, self.running = self.running, None
        assert running is not None
        running.callback(None)


class World:
    def __init__(self) -> None:
        self.table, self.clock = Table(), Clock()
        self.started: list[Deferred[object]] = []
        self.staging = Staging(self.table, self.clock, self._background)  # type: ignore[arg-type]

    def _background(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        self.started.append(Deferred.fromCoroutine(work))

    def keep(self, *event_ids: str) -> Deferred[None]:
        pdus = [StagedPdu("!r", event_id, "far", b"{}") for event_id in event_ids]
        return Deferred.fromCoroutine(self.staging.keep(pdus))


def test_those_that_come_while_a_statement_runs_go_with_the_next() -> None:
    world = World()
    first, second, third = world.keep("$1"), world.keep("$2", "$3"), world.keep("$3", "$4")
    world.table.go_on()
    assert first.called
    assert not second.called
    world.staging.taken_in("!r", ["$1"])
    world.table.go_on()
    assert second.called
    assert third.called
    assert world.table.statements == [(1, 0), (3, 0)]  # the second was on its way when the first was taken in
    fourth = world.keep("$5")
    world.table.go_on()
    assert fourth.called
    assert world.table.rows == {("!r", f"${number}") for number in (2, 3, 4, 5)}


def test_what_was_taken_in_goes_by_itself() -> None:
    world = World()
    world.keep("$1", "$2")
    world.table.go_on()
    world.staging.taken_in("!r", ["$1", "$2"])
    assert world.table.running is None
    world.clock.advance(LATEST_S)
    world.table.go_on()
    assert world.table.rows == set()


def test_what_comes_again_is_not_removed_by_the_statement_that_keeps_it() -> None:
    world = World()
    world.keep("$1", "$2")
    world.table.go_on()
    world.staging.taken_in("!r", ["$1", "$2"])
    world.keep("$1")
    world.table.go_on()
    assert world.table.statements[-1] == (1, 1)
    assert world.table.rows == {("!r", "$1")}


@pytest.mark.parametrize("fault", [DatabaseError("22P05", "refused"), ValueError("a bug")])
def test_what_is_refused_of_one_is_not_refused_of_others(fault: Exception) -> None:
    world = World()
    world.table.refuses = {"$bad": fault}
    world.keep("$0")
    bad, good = world.keep("$bad"), world.keep("$good")
    for _ in range(4):
        world.table.go_on()
    assert good.called
    assert world.table.rows == {("!r", "$0"), ("!r", "$good")}
    with pytest.raises(type(fault)):
        asyncio.run(_outcome(bad))


async def _outcome(one: Deferred[None]) -> None:
    one.addErrback(lambda failure: failure.raiseException())
    result: Any = one.result
    one.addErrback(lambda failure: None)
    result.raiseException()
