"""The log in PostgreSQL: the contract, and what only a real server and a real network do."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import psycopg2
import psycopg2.extensions
import pytest
from twisted.internet.defer import Deferred

from hs_common.storage.connection import Connection, session_dsn
from hs_common.storage.database import Database
from hs_common.storage.queries import Arguments, DatabaseError, DatabaseUnavailable, Row
from hs_master import leadership as leadership_module
from hs_master.leadership import Election
from hs_master.log_store import postgres as postgres_store
from hs_master.log_store import takeover
from hs_master.log_store.postgres import PostgresLogStore
from hs_master.log_store.types import Batch, Cell, Committed, Doubt, LogStore, NotALeader, Refused, Write
from tests.master.log_store_contract import THINGS, WRITES, LogStoreContract, batch, candidate, first_batch, leading
from tests.postgres_proxy import Cut, PostgresProxy
from tests.reactor import reactor, run, sleep, until

NO_SUCH_COLUMN = Write("wrong", (("id", "bigint"),), "INSERT INTO things (id) SELECT * FROM unnest($1::bigint[])")


def now_us() -> int:
    return time.time_ns() // 1_000


class PostgresWorld:
    def __init__(self, url: str) -> None:
        self.url = url
        self.pool = Database(url, reactor, lambda: 0.5, size=2)
        self.stores: list[PostgresLogStore] = []
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE things (id bigint PRIMARY KEY, name text, body bytea, good boolean)")
        connection.close()

    def store(self, url: str | None = None) -> PostgresLogStore:
        store = PostgresLogStore(url or self.url, reactor, self.pool, now_us, WRITES)
        self.stores.append(store)
        return store

    async def things(self) -> list[tuple[Cell, ...]]:
        return await self.pool.fetch("SELECT id, name, body, good FROM things ORDER BY id")

    async def end_session(self, store: LogStore) -> None:
        assert isinstance(store, PostgresLogStore)
        await self.pool.fetch("SELECT pg_terminate_backend(%s, 5000)", (store.backend_pid,))

    async def close(self) -> None:
        for store in self.stores:
            with suppress(DatabaseUnavailable):  # its proxy is gone
                await store.release()
        await self.pool.close()


@pytest.fixture
def world(database_url: str) -> Iterator[PostgresWorld]:
    world = PostgresWorld(database_url)
    yield world
    run(world.close())


class TestPostgres(LogStoreContract):
    pass


def through_proxy(world: PostgresWorld, check: Callable[[PostgresProxy], Awaitable[None]]) -> None:
    async def with_proxy() -> None:
        proxy = await PostgresProxy.start(world.url)
        try:
            await check(proxy)
        finally:
            await proxy.stop()

    run(with_proxy())


@pytest.mark.parametrize(
    ("cut", "committed"),
    [(Cut.BEFORE_THE_REQUEST, False), (Cut.IN_THE_REQUEST, False), (Cut.BEFORE_THE_REPLY, True)],
)
def test_a_doubt_is_resolved_to_what_happened(world: PostgresWorld, cut: Cut, committed: bool) -> None:
    async def check(proxy: PostgresProxy) -> None:
        store = world.store(proxy.url)
        leadership = await leading(store)
        one = first_batch(leadership, rows={THINGS: [(1, "x", b"", True)]})
        proxy.cut = cut
        assert isinstance(await store.commit(one), Doubt)
        proxy.cut = Cut.NEVER
        resolved = await store.resolve_doubt(one)
        assert resolved.committed is committed
        assert resolved.leadership is not None
        assert resolved.leadership.epoch > leadership.epoch
        assert resolved.leadership.head == (one.pos if committed else 0)
        assert len(await world.things()) == int(committed)
        assert await store.commit(first_batch(resolved.leadership)) == Committed()

    through_proxy(world, check)


def test_a_commit_without_answer_is_in_doubt_at_the_deadline(
    world: PostgresWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "COMMIT_DEADLINE_S", 0.2)

    async def check(proxy: PostgresProxy) -> None:
        store = world.store(proxy.url)
        leadership = await leading(store)
        one = first_batch(leadership)
        proxy.cut = Cut.REPLY_NEVER_COMES
        assert isinstance(await store.commit(one), Doubt)
        proxy.cut = Cut.NEVER
        resolved = await store.resolve_doubt(one)
        assert (resolved.committed, resolved.leadership is not None) == (True, True)

    through_proxy(world, check)


def test_a_batch_that_arrives_after_its_doubt_was_resolved_does_not_commit(
    world: PostgresWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "COMMIT_DEADLINE_S", 0.2)

    async def check(proxy: PostgresProxy) -> None:
        store = world.store(proxy.url)
        one = first_batch(await leading(store))
        proxy.cut = Cut.REQUEST_IS_LATE
        assert isinstance(await store.commit(one), Doubt)
        proxy.cut = Cut.NEVER
        resolved = await store.resolve_doubt(one)
        assert (resolved.committed, resolved.leadership is not None) == (False, True)
        proxy.deliver_late()
        await sleep(0.2)
        assert await store.head() == 0

    through_proxy(world, check)


def test_a_doubt_while_a_standby_waits_ends_this_leadership(world: PostgresWorld) -> None:
    async def check(proxy: PostgresProxy) -> None:
        store, standby = world.store(proxy.url), world.store()
        leadership = await leading(store)
        waiting = Deferred.fromCoroutine(standby.wait_for_lock())
        await until_waiting_for_the_lock(world)
        one = first_batch(leadership)
        proxy.cut = Cut.BEFORE_THE_REPLY
        assert isinstance(await store.commit(one), Doubt)
        proxy.cut = Cut.NEVER
        resolved = await store.resolve_doubt(one)
        assert (resolved.committed, resolved.leadership) == (True, None)
        await waiting
        assert (await standby.take(candidate(2))).head == one.pos

    through_proxy(world, check)


async def until_waiting_for_the_lock(world: PostgresWorld) -> None:
    for _ in range(500):
        if await world.pool.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            return
        await sleep(0.01)
    raise AssertionError("nobody waits for the lock")


def test_rows_that_the_tables_refuse_are_refused_and_leave_nothing(world: PostgresWorld) -> None:
    async def check() -> None:
        store = world.store()
        leadership = await leading(store)
        twice = [(1, "a", b"", True), (1, "b", b"", True)]
        outcome = await store.commit(first_batch(leadership, rows={THINGS: twice}))
        assert isinstance(outcome, Refused)
        assert outcome.sqlstate == "23505"
        assert (await store.head(), await world.things()) == (0, [])
        assert await store.commit(first_batch(leadership, rows={THINGS: twice[:1]})) == Committed()

    run(check())


def test_a_wrong_statement_fails_its_batch_alone(world: PostgresWorld) -> None:
    async def check() -> None:
        store = PostgresLogStore(world.url, reactor, world.pool, now_us, [NO_SUCH_COLUMN])
        world.stores.append(store)
        leadership = await leading(store)
        await world.pool.execute("ALTER TABLE things RENAME COLUMN id TO other")
        outcome = await store.commit(first_batch(leadership, rows={NO_SUCH_COLUMN: [(1,)]}))
        assert isinstance(outcome, Refused)
        assert outcome.sqlstate == "42703"
        assert await store.commit(first_batch(leadership)) == Committed()

    run(check())


def test_only_the_very_session_in_doubt_is_ended(world: PostgresWorld) -> None:
    """After a restart of the server another leader's session may have the number of ours."""

    async def check() -> None:
        store = world.store()
        leadership = await leading(store)
        stranger = takeover.Backend(store.backend_pid, datetime.now(UTC))
        assert await takeover.end_sessions_holding_the_lock(world.pool, only=stranger) == 0
        assert await store.commit(first_batch(leadership)) == Committed()

    run(check())


def test_writes_run_in_their_declared_order(world: PostgresWorld) -> None:
    async def check() -> None:
        store = world.store()
        leadership = await leading(store)
        things, renames = WRITES
        rows = {renames: [(1, "after")], things: [(1, "before", b"", True)]}
        assert await store.commit(first_batch(leadership, rows=rows)) == Committed()
        assert (await world.things())[0][1] == "after"

    run(check())


def test_a_take_waits_for_the_write_that_holds_the_fence_and_sees_it(world: PostgresWorld) -> None:
    """The old leader's transaction is open when the take-over begins; it commits, and the take-over's head has it."""

    async def check() -> None:
        old, new = world.store(), world.store()
        before = await leading(old)
        slow = await Connection.open(session_dsn(world.url, "slow writer"), reactor)
        append = "SELECT append_to_log(%s, %s, %s, %s, 1::smallint, 'late')"
        batch_id = first_batch(before).batch
        await slow.run(f"BEGIN; {append}", (before.epoch, before.first, before.head, batch_id))
        await new.dethrone()
        await new.wait_for_lock()
        taking = Deferred.fromCoroutine(new.take(candidate(2)))
        await sleep(0.2)
        assert not taking.called  # FOR UPDATE waits for FOR SHARE
        await slow.run("COMMIT")
        after = await taking
        assert after.head == before.first
        with pytest.raises(DatabaseError, match="VF001"):
            await slow.run(append, (before.epoch, before.first + 1, before.first, batch_id))
        slow.close()

    run(check())


def test_a_take_ends_a_write_that_holds_the_fence_for_ever(
    world: PostgresWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "FENCE_WAIT_MS", 200)

    async def check() -> None:
        store = world.store()
        before = await leading(store)
        hung = await Connection.open(session_dsn(world.url, "hung", idle_in_transaction_session_timeout="0"), reactor)
        append = "SELECT append_to_log(%s, %s, %s, %s, 1::smallint, 'late')"
        await hung.run(f"BEGIN; {append}", (before.epoch, before.first, before.head, first_batch(before).batch))
        after = await store.take(candidate(1))
        assert after.head == 0
        await until(lambda: hung.closed)

    run(check())


def test_two_writers_of_one_epoch_cannot_fork_the_log(world: PostgresWorld) -> None:
    async def check() -> None:
        store = world.store()
        leadership = await leading(store)
        one = first_batch(leadership)
        assert await store.commit(one) == Committed()
        for other in (one, batch(leadership, one.prev, one.pos + 5)):
            assert isinstance(await store.commit(other), Doubt)
        assert (await store.resolve_doubt(one)).committed

    run(check())


def test_a_read_only_server_is_not_led(world: PostgresWorld) -> None:
    async def check() -> None:
        name = psycopg2.extensions.parse_dsn(world.url)["dbname"]
        await world.pool.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        with pytest.raises(NotALeader, match="read_only"):
            await world.store().wait_for_lock()

    run(check())


def test_a_pooler_in_between_is_noticed(world: PostgresWorld) -> None:
    pids = itertools.count(100)

    class Pooled(Connection):
        async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
            return [(next(pids),)]

    async def check() -> None:
        session = await Pooled.open(session_dsn(world.url, "pooled"), reactor)
        with pytest.raises(NotALeader, match="pooler"):
            await takeover.check_server(session)
        session.close()

    run(check())


STOPPED_LEADER = """
import sys, time
from contextlib import suppress
from hs_common.storage.database import Database
from hs_common.storage.queries import DatabaseUnavailable
from hs_master.log_store.postgres import PostgresLogStore
from hs_master.log_store.types import Committed
from tests.master.log_store_contract import batch, leading
from tests.reactor import reactor, run, sleep

async def lead():
    pool = Database(sys.argv[1], reactor, lambda: 0.5, size=1)
    store = PostgresLogStore(sys.argv[1], reactor, pool, lambda: time.time_ns() // 1000)
    leadership = await leading(store)
    prev, pos = leadership.head, leadership.first
    print("leading", leadership.epoch, flush=True)
    while True:
        one = batch(leadership, prev, pos)
        outcome = await store.commit(one)
        if outcome != Committed():
            resolved = await store.resolve_doubt(one)
            print(type(outcome).__name__, resolved.committed, resolved.leadership, flush=True)
            return
        with suppress(DatabaseUnavailable):  # the next commit shows it
            await store.beat()
        prev, pos = pos, pos + 1
        await sleep(0.01)

run(lead(), timeout=60)
"""


def test_a_stopped_leader_is_dethroned_by_observation_and_writes_no_more(
    world: PostgresWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership_module, "STILL_LIMIT_S", 0.5)
    monkeypatch.setattr(leadership_module, "BEAT_INTERVAL_S", 0.1)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED_LEADER, world.url], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    assert process.stdout is not None
    try:
        old_epoch = int(process.stdout.readline().split()[1])
        store = world.store()

        async def went_through() -> None:
            await world.pool.execute("SELECT 1")

        async def no_stream() -> int:
            return 0

        election = Election(store, candidate(2), reactor, went_through, no_stream)

        async def take() -> None:
            standing_by = Deferred.fromCoroutine(election.lead())
            await sleep(1.0)
            assert not standing_by.called  # the leader beats: it is left alone
            process.send_signal(signal.SIGSTOP)
            leadership = await standing_by
            assert election.is_leader
            assert leadership.epoch > old_epoch
            assert leadership.head == await store.head()
            process.send_signal(signal.SIGCONT)
            assert await store.commit(first_batch(leadership)) == Committed()

        run(take())
        outcome, _committed, its_leadership = process.stdout.readline().split(maxsplit=2)
        assert (outcome, its_leadership.strip()) == ("Doubt", "None")
        assert process.wait(10) == 0
        run(election.step_down())
        epochs = [entry.epoch for entry in run(store.read(0, 100_000))]
        assert epochs == sorted(epochs)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_killed_leader_is_followed_at_once(world: PostgresWorld) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED_LEADER, world.url], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()

        async def take() -> None:
            store = world.store()
            waiting = Deferred.fromCoroutine(store.wait_for_lock())
            await until_waiting_for_the_lock(world)
            process.kill()
            await waiting
            assert await store.commit(first_batch(await store.take(candidate(2)))) == Committed()

        run(take())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_deadlock_is_tried_again_with_the_same_bytes(world: PostgresWorld) -> None:
    """A trigger fails the first two times as a deadlock does."""

    async def check() -> None:
        store = world.store()
        leadership = await leading(store)
        await world.pool.execute(
            "CREATE SEQUENCE tries; CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('tries') < 3 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF; RETURN NEW;"
            " END $$; CREATE TRIGGER deadlock BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION deadlock()"
        )
        one = first_batch(leadership, rows={THINGS: [(1, "x", b"", True)]})
        assert await store.commit(one) == Committed()
        await world.pool.execute("ALTER SEQUENCE tries RESTART MINVALUE -100 START -100")
        two: Batch = batch(leadership, one.pos, one.pos + 1, rows={THINGS: [(2, "x", b"", True)]})
        assert isinstance(await store.commit(two), Doubt)

    run(check())


def test_a_warning_at_commit_is_a_doubt(world: PostgresWorld) -> None:
    async def check() -> None:
        store = world.store()
        leadership = await leading(store)
        await world.pool.execute(
            "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'cancelled'; RETURN NEW;"
            " END $$; CREATE CONSTRAINT TRIGGER warn AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION warn()"
        )
        one = first_batch(leadership, rows={THINGS: [(1, "x", b"", True)]})
        assert isinstance(await store.commit(one), Doubt)
        assert (await store.resolve_doubt(one)).committed

    run(check())


def test_refused_items_are_kept(world: PostgresWorld) -> None:
    async def check() -> None:
        await world.store().refuse(b"key", "23505", "no", b"\x00item")
        assert await world.pool.fetch("SELECT key, sqlstate, message, item FROM refused_items") == [
            (b"key", "23505", "no", b"\x00item")
        ]

    run(check())
