"""No key is given out twice, however many claim at once, repeat uploads, or use which connection."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, DeferredList

from hs_common.storage import one_time_keys
from hs_common.storage.database import Database
from hs_common.storage.one_time_keys import Claimed, PublicKey, Wanted
from tests.reactor import reactor, run
from tests.services import TestPostgres

ALGORITHM = "signed_curve25519"
USER = "@alice:test"
DEVICES = ("A", "B")


@pytest.fixture(scope="module")
def shared_url(postgres: TestPostgres) -> Iterator[str]:
    """One database for all tests of this module, which `begin` empties."""
    with postgres.database() as url:
        yield url


def key(number: int) -> PublicKey:
    return PublicKey(ALGORITHM, f"K{number}", f'{{"key":{number}}}')


async def begin(db: Database) -> None:
    """Two devices without keys."""
    for table in ("devices", "one_time_keys", "fallback_keys"):
        await db.execute(f"DELETE FROM {table}")
    for device in DEVICES:
        await db.execute(
            "INSERT INTO devices (user_id, device_id, created_ts, pos) VALUES (%s, %s, 0, 0)", (USER, device)
        )


async def claim(db: Database, *devices: str) -> list[Claimed]:
    """As the endpoint does: one-time keys, else fallback keys."""
    wanted = [Wanted(USER, device, ALGORITHM) for device in devices]
    given = await one_time_keys.claim_one_time_keys(db, wanted)
    without = [one for one in wanted if one not in {claimed.wanted for claimed in given}]
    return [*given, *(await one_time_keys.claim_fallback_keys(db, without) if without else ())]


def play(database_url: str, scenario: Any) -> None:
    async def played() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=8)
        try:
            await begin(db)
            await scenario(db)
        finally:
            await db.close()

    run(played(), timeout=60)


async def at_once(coroutines: list[Any]) -> list[Any]:
    """The results of coroutines that run side by side."""
    results = await DeferredList([Deferred.fromCoroutine(one) for one in coroutines], fireOnOneErrback=True)
    return [result for _, result in results]


acts = st.one_of(
    st.tuples(st.just("claim"), st.sampled_from([("A",), ("B",), ("B", "A"), ("A", "B")]), st.just(0)),
    st.tuples(st.just("upload"), st.sampled_from([("A",), ("B",)]), st.integers(0, 3)),
)


@settings(max_examples=20)
@given(rounds=st.lists(st.lists(acts, min_size=1, max_size=12), min_size=1, max_size=4))
def test_no_key_is_given_out_twice(shared_url: str, rounds: list[list[tuple[str, tuple[str, ...], int]]]) -> None:
    async def scenario(db: Database) -> None:
        given: list[tuple[str, str]] = []
        uploaded: set[tuple[str, str]] = set()

        async def act(kind: str, devices: tuple[str, ...], batch: int) -> None:
            if kind == "claim":
                given.extend((one.wanted.device_id, one.key_id) for one in await claim(db, *devices))
            else:
                keys = [key(10 * batch + number) for number in range(3)]
                uploaded.update((devices[0], one.key_id) for one in keys)
                await one_time_keys.add_one_time_keys(db, USER, devices[0], keys)

        for acts_at_once in rounds:
            await at_once([act(*one) for one in acts_at_once])
        left = await db.fetch("SELECT device_id, key_id FROM one_time_keys WHERE claimed IS NULL")
        # Every key is either given out or waits, and each just once.
        assert Counter([*given, *left]) == Counter(uploaded)

    play(shared_url, scenario)


def test_many_claims_at_once_empty_the_device_exactly(shared_url: str) -> None:
    async def scenario(db: Database) -> None:
        await one_time_keys.add_one_time_keys(db, USER, "A", [key(number) for number in range(10)])
        fallback = PublicKey(ALGORITHM, "F", "{}")
        await one_time_keys.set_fallback_keys(db, USER, "A", [fallback])
        results = await at_once([claim(db, "A") for _ in range(16)])
        counted = Counter(one.key_id for given in results for one in given)
        assert counted["F"] >= 6
        assert sum(counted.values()) == 16
        assert all(times == 1 for key_id, times in counted.items() if key_id != "F")
        counts, unused = await one_time_keys.key_state(db, USER, "A")
        assert (counts.get(ALGORITHM, 0), unused) == (10 - (16 - counted["F"]), [])

    play(shared_url, scenario)


def test_the_same_fallback_key_stays_used_and_another_is_new(shared_url: str) -> None:
    async def scenario(db: Database) -> None:
        first, second = PublicKey(ALGORITHM, "F1", "{}"), PublicKey(ALGORITHM, "F2", "{}")
        for fallback, unused in ((first, [ALGORITHM]), (first, []), (second, [ALGORITHM])):
            await one_time_keys.set_fallback_keys(db, USER, "A", [fallback])
            assert (await one_time_keys.key_state(db, USER, "A"))[1] == unused
            assert [one.key_id for one in await claim(db, "A")] == [fallback.key_id]

    play(shared_url, scenario)


def test_what_was_given_out_long_ago_is_forgotten(shared_url: str) -> None:
    async def scenario(db: Database) -> None:
        await one_time_keys.add_one_time_keys(db, USER, "A", [key(1)])
        await claim(db, "A")
        await db.execute("UPDATE one_time_keys SET claimed = claimed - interval '2 days'")
        await one_time_keys.add_one_time_keys(db, USER, "A", [key(2)])
        assert await db.fetch("SELECT key_id FROM one_time_keys") == [("K2",)]

    play(shared_url, scenario)


def test_devices_that_are_gone_get_and_give_nothing(shared_url: str) -> None:
    async def scenario(db: Database) -> None:
        await one_time_keys.add_one_time_keys(db, USER, "A", [key(1)])
        await one_time_keys.set_fallback_keys(db, USER, "A", [PublicKey(ALGORITHM, "F", "{}")])
        await db.execute("DELETE FROM devices WHERE device_id = 'A'")
        await one_time_keys.add_one_time_keys(db, USER, "A", [key(2)])
        await one_time_keys.set_fallback_keys(db, USER, "A", [PublicKey("other", "G", "{}")])
        assert await claim(db, "A") == []
        assert await db.fetch("SELECT key_id FROM one_time_keys UNION ALL SELECT key_id FROM fallback_keys") == [
            ("K1",),
            ("F",),
        ]

    play(shared_url, scenario)
