"""The log's statements that no contract of the store reaches: pruning of answers and of refused items."""

from hs_common.storage import log
from hs_common.storage.database import Database
from tests.reactor import reactor, run


def test_answers_are_pruned_by_their_kind(database_url: str) -> None:
    async def check() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=1)
        await db.execute(
            "INSERT INTO answers (key, pos, answer, kind, made) SELECT decode('0' || n, 'hex'), n, '', mod(n, 2),"
            " clock_timestamp() - interval '2 hours' FROM generate_series(1, 6) n"
        )
        assert await log.prune_answers(db, 0, log.CALL_ANSWERS_KEPT_S) == 3
        assert await log.prune_answers(db, 1, log.TRANSACTION_ANSWERS_KEPT_S) == 0
        assert [row[1] for row in await log.answers(db, [bytes([n]) for n in range(9)])] == [1, 3, 5]
        await db.close()

    run(check())


def test_refused_items_do_not_stay_for_ever(database_url: str) -> None:
    async def check() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=1)
        await log.refuse(db, b"key", "22001", "too long", b"item")
        assert await log.prune_refused_items(db) == 0
        assert await log.prune_refused_items(db, keep_s=-1) == 1
        await db.close()

    run(check())
