"""What every `LogStore` must do, whatever holds the log: the test files beside run it over memory and PostgreSQL."""

import uuid
from collections.abc import Sequence
from typing import Protocol

import pytest

from hs_common.storage.queries import DatabaseUnavailable
from hs_master.log_store.types import (
    Answer,
    AnswerKind,
    Batch,
    Candidate,
    Cell,
    Committed,
    Doubt,
    Fenced,
    Leadership,
    LogStore,
    NotALeader,
    Refused,
    Write,
)
from tests.reactor import run

THINGS = Write(
    "things",
    (("id", "bigint"), ("name", "text"), ("body", "bytea"), ("good", "boolean")),
    "INSERT INTO things (id, name, body, good) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bool[])",
)
RENAMES = Write(
    "renames",
    (("id", "bigint"), ("name", "text")),
    "UPDATE things SET name = new.name FROM unnest($1::bigint[], $2::text[]) AS new (id, name)"
    " WHERE things.id = new.id",
)
WRITES = (THINGS, RENAMES)


class World(Protocol):
    """A log, and processes around it."""

    def store(self) -> LogStore:
        """Another process' store on the same log."""

    async def things(self) -> list[tuple[Cell, ...]]:
        """The rows that `THINGS` wrote, by id."""

    async def end_session(self, store: LogStore) -> None:
        """Cuts the store's writing session, as a restart of the database does."""


def candidate(name: int = 1, formats: tuple[int, int] = (1, 1)) -> Candidate:
    return Candidate(str(uuid.UUID(int=name)), f"10.0.0.{name}:9000", *formats)


async def leading(store: LogStore, name: int = 1) -> Leadership:
    await store.wait_for_lock()
    return await store.take(candidate(name))


def batch(
    leadership: Leadership,
    prev: int,
    pos: int,
    *,
    answers: Sequence[Answer] = (),
    rows: dict[Write, Sequence[Sequence[Cell]]] | None = None,
    body: bytes = b"entry",
) -> Batch:
    return Batch(leadership.epoch, str(uuid.uuid4()), prev, pos, leadership.format, body, answers, rows or {})


def first_batch(leadership: Leadership, **parts: object) -> Batch:
    return batch(leadership, leadership.head, leadership.first, **parts)  # type: ignore[arg-type]


class LogStoreContract:
    """Subclasses define the fixture `world`."""

    def test_a_committed_batch_is_read_back_as_it_was(self, world: World) -> None:
        async def check() -> None:
            store = world.store()
            leadership = await leading(store)
            assert (leadership.head, await store.head(), await store.read(0, 10)) == (0, 0, [])
            one = first_batch(leadership, body=bytes(range(256)))
            two = batch(leadership, one.pos, one.pos + 3)
            assert await store.commit(one) == Committed()
            assert await store.commit(two) == Committed()
            entries = await store.read(0, 10)
            assert [(e.pos, e.prev, e.epoch, e.format, e.body) for e in entries] == [
                (b.pos, b.prev, b.epoch, b.format, b.body) for b in (one, two)
            ]
            assert await store.head() == two.pos
            assert [e.pos for e in await store.read(one.pos, 10)] == [two.pos]
            assert [e.pos for e in await store.read(0, 1)] == [one.pos]

        run(check())

    def test_rows_are_written_as_given(self, world: World) -> None:
        rows: list[tuple[Cell, ...]] = [
            (1, "plain", b"\x00\xff\\", True),
            (2, "quotes ' \" and \\ and , {} NULL %s", b"", False),
            (3, "", None, None),
            (-(2**63), "new\nline é 🦀", b"'", True),
            (4, None, b"x", None),
        ]

        async def check() -> None:
            store = world.store()
            leadership = await leading(store)
            assert await store.commit(first_batch(leadership, rows={THINGS: rows})) == Committed()
            assert await world.things() == sorted(rows, key=lambda row: int(row[0] or 0))

        run(check())

    def test_what_cannot_be_stored_is_refused_whole_and_the_next_batch_goes_on(self, world: World) -> None:
        async def check() -> None:
            store = world.store()
            leadership = await leading(store)
            for bad, sqlstate in (
                ((2, "a\0b", b"", True), "22021"),
                ((2, "a\ud800b", b"", True), "22021"),
                ((2**63, "name", b"", True), "22003"),
            ):
                outcome = await store.commit(first_batch(leadership, rows={THINGS: [(1, "good", b"", True), bad]}))
                assert isinstance(outcome, Refused)
                assert outcome.sqlstate == sqlstate
            assert (await store.head(), await world.things()) == (0, [])
            assert await store.commit(first_batch(leadership)) == Committed()

        run(check())

    def test_an_answer_is_given_once(self, world: World) -> None:
        key, other = b"k" * 16, b"o" * 16

        async def check() -> None:
            store = world.store()
            leadership = await leading(store)
            answer = Answer(key, leadership.first, b'{"event_id":"$x"}', AnswerKind.CLIENT)
            one = first_batch(leadership, answers=[answer])
            assert await store.commit(one) == Committed()
            again = batch(leadership, one.pos, one.pos + 1, answers=[Answer(key, one.pos + 1, b"other")])
            outcome = await store.commit(again)
            assert isinstance(outcome, Refused)
            assert outcome.sqlstate == "23505"
            assert await store.answers([key, other]) == {key: answer}
            assert await store.answers([]) == {}
            assert await store.head() == one.pos

        run(check())

    def test_an_old_epoch_commits_nothing_after_a_take(self, world: World) -> None:
        async def check() -> None:
            old, new = world.store(), world.store()
            before = await leading(old)
            one = first_batch(before)
            assert await old.commit(one) == Committed()
            assert await new.dethrone()
            after = await leading(new, 2)
            assert after.epoch > before.epoch
            assert (after.head, after.first > one.pos) == (one.pos, True)
            late = batch(before, one.pos, one.pos + 1)
            outcome = await old.commit(late)
            assert isinstance(outcome, Doubt)  # its session was ended
            resolved = await old.resolve_doubt(late)
            assert (resolved.committed, resolved.leadership) == (False, None)
            assert await new.commit(first_batch(after)) == Committed()
            assert [e.epoch for e in await new.read(0, 10)] == [before.epoch, after.epoch]

        run(check())

    def test_the_fence_holds_without_the_lock(self, world: World) -> None:
        async def check() -> None:
            store = world.store()
            before = await leading(store)
            assert await store.beat()
            after = await store.take(candidate(1))  # the same session, a later epoch
            assert after.epoch > before.epoch
            assert await store.commit(first_batch(before)) == Fenced()
            assert await store.commit(first_batch(after)) == Committed()
            assert await store.beat()

        run(check())

    def test_the_chain_cannot_fork(self, world: World) -> None:
        async def check() -> None:
            store = world.store()
            leadership = await leading(store)
            one = first_batch(leadership)
            assert await store.commit(one) == Committed()
            assert isinstance(await store.commit(batch(leadership, one.prev, one.pos + 1)), Doubt)
            assert isinstance(await store.commit(batch(leadership, one.pos + 7, one.pos)), Doubt | Refused)
            assert [e.pos for e in await store.read(0, 10)] == [one.pos]

        run(check())

    def test_each_epoch_begins_above_the_clock_and_above_all_before(self, world: World) -> None:
        async def check() -> None:
            firsts = []
            epochs = []
            for name in range(1, 4):
                store = world.store()
                leadership = await leading(store, name)
                firsts.append(leadership.first)
                epochs.append(leadership.epoch)
                await store.release()
            assert firsts == sorted(set(firsts))
            assert epochs == sorted(set(epochs))
            assert all(epoch >= first for epoch, first in zip(epochs, firsts, strict=True))

        run(check())

    def test_an_epoch_is_above_the_one_that_redis_has_seen(self, world: World) -> None:
        async def check() -> None:
            store = world.store()
            await store.wait_for_lock()
            leadership = await store.take(candidate(), stream_epoch=2**52)
            assert leadership.epoch == 2**52 + 1
            assert leadership.first < 2**52

        run(check())

    def test_a_log_of_another_format_is_not_led(self, world: World) -> None:
        async def check() -> None:
            store = world.store()
            await store.wait_for_lock()
            with pytest.raises(NotALeader, match="format 1"):
                await store.take(candidate(formats=(2, 3)))
            await store.release()
            assert (await store.observe()).epoch == 0

        run(check())

    def test_a_released_lock_wakes_the_standby(self, world: World) -> None:
        async def check() -> None:
            old, new = world.store(), world.store()
            await leading(old)
            await old.release()
            await leading(new, 2)
            observed = await old.observe()
            assert (observed.holder, observed.address) == (candidate(2).member, candidate(2).address)
            assert not await new.dethrone()  # oneself is left alone

        run(check())

    def test_beats_are_seen(self, world: World) -> None:
        async def check() -> None:
            store, standby = world.store(), world.store()
            leadership = await leading(store)
            for expected in range(3):
                observed = await standby.observe()
                assert (observed.epoch, observed.beat) == (leadership.epoch, expected)
                assert await store.beat()

        run(check())

    def test_a_lost_session_is_a_doubt_that_ends_in_a_new_epoch(self, world: World) -> None:
        async def check() -> None:
            store = world.store()
            leadership = await leading(store)
            one = first_batch(leadership)
            assert await store.commit(one) == Committed()
            await world.end_session(store)
            two = batch(leadership, one.pos, one.pos + 1)
            assert isinstance(await store.commit(two), Doubt)
            with pytest.raises(DatabaseUnavailable):
                await store.beat()
            resolved = await store.resolve_doubt(two)
            assert not resolved.committed
            assert resolved.leadership is not None
            assert resolved.leadership.epoch > leadership.epoch
            assert resolved.leadership.head == one.pos
            assert await store.commit(first_batch(resolved.leadership)) == Committed()
            assert await store.beat()

        run(check())

    def test_pruning_leaves_the_last_entry(self, world: World) -> None:
        async def check() -> None:
            store = world.store()
            leadership = await leading(store)
            previous = leadership.head
            for number in range(4):
                one = batch(leadership, previous, leadership.first + number)
                assert await store.commit(one) == Committed()
                previous = one.pos
            assert await store.prune(keep_s=3600) == 0
            assert await store.prune(keep_s=-3600) == 3
            assert [e.pos for e in await store.read(0, 10)] == [previous]
            assert await store.prune(keep_s=-3600) == 0
            assert await store.commit(batch(leadership, previous, previous + 1)) == Committed()

        run(check())
