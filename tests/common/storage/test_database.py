"""The pool: values, errors, transactions, fairness, limits, and a server that goes away."""

from collections.abc import Callable, Coroutine
from typing import Any

import psycopg2
import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from hs_common.storage import database as database_module
from hs_common.storage.connection import Connection, session_dsn, typed_error
from hs_common.storage.database import Database
from hs_common.storage.queries import DatabaseError, DatabaseUnavailable, StatementConflict, StatementRefused, error_for
from tests.postgres_proxy import PostgresProxy
from tests.reactor import reactor, run, sleep, until

Check = Callable[[Database], Coroutine[Any, Any, None]]


def with_pool(url: str, check: Check, **options: Any) -> None:
    async def checked() -> None:
        pool = Database(url, reactor, lambda: 0.0, **options)
        try:
            await check(pool)
        finally:
            await pool.close()

    run(checked())


def test_values_come_back_as_they_went(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        sql = "SELECT %s::bigint, %s::text, %s::bytea, %s::bool, %s::text[], %s::bytea[], %s::jsonb, NULL"
        values = (2**53, "é ' \\ % 🦀", bytes(range(256)), True, ["a", "b"], [b"\x00", b""])
        row = await db.fetch_one(sql, (*values, '{"a": [1, null]}'))
        assert row == (*values, {"a": [1, None]}, None)
        assert await db.fetch("SELECT 1 WHERE 2 = ANY(%s::int[])", ([],)) == []
        assert await db.fetch_one("SELECT %(a)s || %(a)s", {"a": "x"}) == ("xx",)
        assert await db.fetch_one("SELECT '100%'") == ("100%",)

    with_pool(empty_database_url, check)


def test_execute_counts_rows(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        assert await db.fetch("CREATE TABLE t (a int)") == []
        assert await db.execute("INSERT INTO t SELECT generate_series(1, 3)") == 3
        assert await db.execute("DELETE FROM t WHERE a > 1") == 2
        assert await db.fetch_one("SELECT a FROM t WHERE a > 1") is None

    with_pool(empty_database_url, check)


@pytest.mark.parametrize(
    ("sql", "args", "kind", "sqlstate"),
    [
        ("SELECT 1/0", (), StatementRefused, "22012"),
        ("INSERT INTO t VALUES (1), (1)", (), StatementRefused, "23505"),
        ("SELECT %s", ("a\0b",), StatementRefused, "22021"),
        ("SELECT %s", ("a\ud800b",), StatementRefused, "22021"),
        ("SELEC 1", (), DatabaseError, "42601"),
        ("SELECT %s", ({},), DatabaseError, "42000"),
        ("SET statement_timeout = 10; SELECT pg_sleep(20)", (), DatabaseUnavailable, "57014"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$", (), StatementConflict, "40P01"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$", (), DatabaseUnavailable, "53100"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", (), DatabaseUnavailable, None),
    ],
)
def test_errors_are_typed_and_the_pool_goes_on(
    empty_database_url: str, sql: str, args: tuple[object, ...], kind: type[DatabaseError], sqlstate: str | None
) -> None:
    async def check(db: Database) -> None:
        await db.execute("CREATE TABLE t (a int CONSTRAINT t_once PRIMARY KEY)")
        for run_it in (db.fetch, db.execute):
            with pytest.raises(DatabaseError) as raised:
                await run_it(sql, args)
            assert type(raised.value) is kind
            assert sqlstate in (None, raised.value.sqlstate)
            if sqlstate == "23505":
                assert raised.value.constraint == "t_once"
        assert await db.fetch_one("SELECT 1") == (1,)

    with_pool(empty_database_url, check, size=1)


def test_an_error_without_sqlstate_is_of_the_connection() -> None:
    assert type(typed_error(psycopg2.OperationalError("gone"))) is DatabaseUnavailable
    assert type(error_for("XX000", "internal")) is DatabaseError
    assert type(error_for("55P03", "lock")) is StatementConflict


def test_a_transaction_commits_or_rolls_back_whole(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        await db.execute("CREATE TABLE t (a int PRIMARY KEY)")
        async with db.transaction() as txn:
            assert await txn.execute("INSERT INTO t VALUES (1)") == 1
            assert await txn.fetch("SELECT a FROM t") == [(1,)]
            assert await db.fetch("SELECT a FROM t") == []
        assert await db.fetch("SELECT a FROM t") == [(1,)]

        async def insert(value: int, *, then: str | Exception) -> None:
            async with db.transaction() as txn:
                await txn.execute("INSERT INTO t VALUES (%s)", (value,))
                if isinstance(then, Exception):
                    raise then
                await txn.execute(then)

        with pytest.raises(KeyError):
            await insert(2, then=KeyError())
        with pytest.raises(StatementRefused):
            await insert(3, then="INSERT INTO t VALUES (1)")
        async with db.transaction():
            pass
        assert await db.fetch("SELECT a FROM t") == [(1,)]
        with pytest.raises(DatabaseError, match="25006"):
            async with db.transaction(snapshot=True) as txn:
                await txn.execute("DELETE FROM t")

    with_pool(empty_database_url, check, size=2)


def test_a_snapshot_sees_one_moment(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        await db.execute("CREATE TABLE t (a int)")
        async with db.transaction(snapshot=True) as txn:
            assert await txn.fetch("SELECT a FROM t") == []
            await db.execute("INSERT INTO t VALUES (1)")
            assert await txn.fetch("SELECT a FROM t") == []

    with_pool(empty_database_url, check)


def test_who_asks_first_is_served_first_over_few_connections(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        sql = "SELECT pg_backend_pid(), clock_timestamp()::text FROM pg_sleep(0.001)"  # how the database saw it
        rows = await gatherResults([Deferred.fromCoroutine(db.fetch_one(sql)) for _ in range(20)])
        served = [row for row in rows if row is not None]
        assert len(served) == 20
        assert served == sorted(served, key=lambda row: row[1])
        assert len({row[0] for row in served}) == 1

    with_pool(empty_database_url, check, size=1)


def test_no_more_connections_than_its_size(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        asked = [Deferred.fromCoroutine(db.fetch("SELECT pg_backend_pid() FROM pg_sleep(0.02)")) for _ in range(12)]
        assert len({rows[0][0] for rows in await gatherResults(asked)}) == 3

    with_pool(empty_database_url, check, size=3)


def test_many_who_fail_before_they_are_sent_fail_one_after_the_other(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        first = Deferred.fromCoroutine(db.fetch("SELECT pg_sleep(0.1)"))
        others = range(database_module.QUEUE_LIMIT - 1)
        unsent = [Deferred.fromCoroutine(db.fetch("SELECT %s", ("a\0b",))) for _ in others]
        for one in unsent:
            one.addErrback(lambda failure: failure.trap(StatementRefused))
        await gatherResults([first, *unsent])
        assert await db.fetch("SELECT 1") == [(1,)]

    with_pool(empty_database_url, check, size=1)


def test_the_queue_and_the_wait_are_bounded(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(db: Database) -> None:
        async with db.transaction() as txn:
            await txn.fetch("SELECT 1")
            monkeypatch.setattr(database_module, "QUEUE_LIMIT", 1)
            monkeypatch.setattr(database_module, "WAIT_LIMIT_S", 0.05)
            waiting = Deferred.fromCoroutine(db.fetch("SELECT 2"))
            with pytest.raises(DatabaseUnavailable, match="1 statements wait"):
                await db.fetch("SELECT 3")
            with pytest.raises(DatabaseUnavailable, match="in use"):
                await waiting
        monkeypatch.undo()
        assert await db.fetch("SELECT 4") == [(4,)]

    with_pool(empty_database_url, check, size=1)


def test_a_cancelled_statement_takes_its_connection_with_it(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        asked = Deferred.fromCoroutine(db.fetch("SELECT pg_sleep(10)"))
        await sleep(0.1)
        asked.cancel()
        with pytest.raises(CancelledError):
            await asked
        assert await db.fetch("SELECT 1") == [(1,)]

    with_pool(empty_database_url, check, size=1)


def test_a_cancelled_waiter_leaves_the_queue(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        async with db.transaction() as txn:
            await txn.fetch("SELECT 1")
            waiting = Deferred.fromCoroutine(db.fetch("SELECT 2"))
            waiting.cancel()
            with pytest.raises(CancelledError):
                await waiting
        assert await db.fetch("SELECT 3") == [(3,)]

    with_pool(empty_database_url, check, size=1)


def test_an_idle_connection_that_the_server_ends_is_replaced_unseen(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        row = await db.fetch_one("SELECT pg_backend_pid()")
        assert row is not None
        other = await Connection.open(session_dsn(empty_database_url, "other"), reactor)
        await other.run("SELECT pg_terminate_backend(%s, 5000)", row)
        other.close()
        await until(lambda: not db._idle)
        assert await db.fetch("SELECT 1") == [(1,)]

    with_pool(empty_database_url, check, size=1)


def test_a_server_that_is_away_is_waited_for(empty_database_url: str) -> None:
    async def checked() -> None:
        proxy = await PostgresProxy.start(empty_database_url)
        url = proxy.url
        await proxy.stop()
        db = Database(url, reactor, lambda: 0.1)
        waiting = Deferred.fromCoroutine(db.fetch("SELECT 1"))
        await sleep(0.1)
        assert not waiting.called
        await proxy.listen_again()
        assert await waiting == [(1,)]
        await db.close()
        await proxy.stop()

    run(checked())


def test_a_server_that_stays_away_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "WAIT_LIMIT_S", 0.1)

    async def check(db: Database) -> None:
        with pytest.raises(DatabaseUnavailable, match="cannot connect"):
            await db.fetch("SELECT 1")

    with_pool("postgresql://nobody@127.0.0.1:1/none", check)


def test_a_closed_pool_refuses(empty_database_url: str) -> None:
    async def check(db: Database) -> None:
        waiting = Deferred.fromCoroutine(db.fetch("SELECT pg_sleep(5)"))
        await sleep(0.1)
        await db.close()
        with pytest.raises(DatabaseUnavailable):
            await waiting
        with pytest.raises(DatabaseUnavailable, match="closed"):
            await db.fetch("SELECT 1")

    with_pool(empty_database_url, check)


def test_each_statement_is_observed(empty_database_url: str) -> None:
    seen: list[tuple[str, float]] = []

    async def check(db: Database) -> None:
        await db.fetch("SELECT 1")
        with pytest.raises(StatementRefused):
            await db.fetch("SELECT 1/0")

    with_pool(empty_database_url, check, observe=lambda sql, seconds: seen.append((sql, seconds)))
    assert [sql for sql, _ in seen] == ["SELECT 1", "SELECT 1/0"]
    assert all(seconds >= 0 for _, seconds in seen)


def test_a_session_has_its_timeouts_and_the_operator_has_the_last_word(empty_database_url: str) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name", "work_mem")

    async def settings(url: str) -> list[str]:
        session = await Connection.open(session_dsn(url, "viaduct test", work_mem="8MB"), reactor)
        values = [(await session.fetch("SELECT current_setting(%s)", (name,)))[0][0] for name in names]
        session.close()
        return values

    assert run(settings(empty_database_url)) == ["30s", "1s", "5s", "viaduct test", "8MB"]
    own = psycopg2.extensions.make_dsn(empty_database_url, options="-c lock_timeout=3s", application_name="mine")
    assert run(settings(own)) == ["30s", "3s", "5s", "mine", "8MB"]
