"""Summaries are counted once for all who are told of the same change."""

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from hs_common.storage.queries import Arguments, DatabaseUnavailable, Queries, Row
from hs_workers.sync.room_summaries import Moment, RoomSummaries, RoomSummary
from tests.workers.sync.conftest import Play
from tests.workers.sync.world import ALICE, BOB, World


class CountedQueries:
    """A database whose statements are counted; `fails` of the first of them."""

    def __init__(self, db: Queries, fails: int = 0) -> None:
        self._db = db
        self.asked = 0
        self._fails = fails

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        self.asked += 1
        if self.asked <= self._fails:
            raise DatabaseUnavailable("08006", "away")
        return await self._db.fetch(sql, args)

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        raise AssertionError(sql)

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        raise AssertionError(sql)


def asking(summaries: RoomSummaries, moments: Sequence[dict[str, Moment]]) -> list[Deferred[dict[str, RoomSummary]]]:
    return [Deferred.fromCoroutine(summaries.of(one)) for one in moments]


def test_those_who_ask_for_the_same_wait_for_one_count(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        head = await w.head()
        db = CountedQueries(w.m.db)
        summaries = RoomSummaries(db)
        answers: Any = await gatherResults(asking(summaries, [{room: Moment(head, head)}] * 5))
        once = db.asked
        assert [answer[room].heroes(ALICE) for answer in answers] == [[BOB]] * 5
        await summaries.of({room: Moment(head + 7, head)})
        assert db.asked == once
        await summaries.of({room: Moment(head, None)})
        assert db.asked == 2 * once

    play(scenario)


def test_if_the_first_fails_the_next_counts(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        head = await w.head()
        first, second = asking(RoomSummaries(CountedQueries(w.m.db, fails=1)), [{room: Moment(head, head)}] * 2)
        with pytest.raises(DatabaseUnavailable):
            await first
        assert (await second)[room].joined == 1

    play(scenario)


def test_a_room_with_nobody_left_is_called_by_who_was_there() -> None:
    summary = RoomSummary(1, 0, False, [ALICE], [BOB])
    assert summary.told(ALICE)["m.heroes"] == [BOB]
    assert summary.told(BOB)["m.heroes"] == [ALICE]
    assert "m.heroes" not in summary._replace(is_named=True).told(ALICE)
