"""Whose signature holds, and who is asked for keys, and how often."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, gatherResults

from hs_common.federation.key_fetching import KeyFetcher
from hs_common.federation.key_ring import ASK_AGAIN_MS, KeyRing, Proof
from hs_common.matrix.server_keys import OldKey, ServerKey
from hs_common.matrix.signing import SignatureError, SigningKey
from hs_common.storage.database import Database
from tests.common.federation.key_world import DAY_MS, Server, World
from tests.reactor import reactor, run

T = TypeVar("T")
OWN = SigningKey("own", bytes(32))


class AtOnce:
    """Threads that are none."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


@asynccontextmanager
async def ring(world: World, url: str, notaries: tuple[str, ...] = ()) -> AsyncIterator[KeyRing]:
    db = Database(url, reactor, lambda: 0.5)
    client: Any = world
    fetcher = KeyFetcher(client, db, notaries, lambda: world.now_ms)
    own = {OWN.key_id: ServerKey(OWN.verify_key, 2**53 - 1, is_old=False)}
    try:
        yield KeyRing("us.example", own, fetcher, db, AtOnce(), lambda: world.now_ms)
    finally:
        await db.close()


def proof(world: World, server: str, key: SigningKey, **options: Any) -> Proof:
    options = {"valid_at_ms": world.now_ms} | options
    return Proof(server, b"data", {server: {key.key_id: key.sign_bytes(b"data")}}, **options)


def test_a_server_is_asked_once_and_its_keys_are_kept_for_all_workers(database_url: str) -> None:
    async def play() -> None:
        world = World()
        server = world.add("a.example")
        good = proof(world, "a.example", server.key)
        async with ring(world, database_url) as keys:
            many = [Deferred.fromCoroutine(keys.check([good] * 3)) for _ in range(5)]
            assert await gatherResults(many) == [[None] * 3] * 5
            assert server.asked == 1
        async with ring(world, database_url) as other_worker:
            server.is_up = False
            await other_worker.verify(good)
        assert server.asked == 1

    run(play())


def test_wrong_signatures_and_unknown_keys(database_url: str) -> None:
    async def play() -> None:
        world = World()
        server = world.add("a.example")
        forger = SigningKey("1", b"f" * 32)
        other = SigningKey("other", b"o" * 32)
        async with ring(world, database_url) as keys:
            reasons = await keys.check(
                [
                    proof(world, "a.example", forger),
                    proof(world, "a.example", other),
                    Proof("a.example", b"data", {}, world.now_ms),
                    Proof("a.example", b"data", {"a.example": "nonsense"}, world.now_ms),
                    proof(world, "gone.example", other),
                    proof(world, "a.example", server.key),
                    proof(world, "us.example", OWN),
                    proof(world, "us.example", forger),
                ]
            )
            assert [reason is None for reason in reasons] == [False] * 5 + [True, True, False]
            with pytest.raises(SignatureError):
                await keys.verify(proof(world, "a.example", forger))

    run(play())


def test_who_did_not_have_a_key_is_not_asked_again_at_once(database_url: str) -> None:
    async def play() -> None:
        world = World()
        server = world.add("a.example")
        new = SigningKey("2", b"2" * 32)
        async with ring(world, database_url) as keys:
            for _ in range(5):
                assert await keys.check([proof(world, "a.example", new)]) != [None]
            assert server.asked == 1
            server.old.append(OldKey(server.key.verify_key, world.now_ms))
            server.key = new
            world.now_ms += ASK_AGAIN_MS + 1
            assert await keys.check([proof(world, "a.example", new)]) == [None]
            assert server.asked == 2

    run(play())


def test_validity(database_url: str) -> None:
    """Events may be signed with keys that were in use then, requests only with keys in use now."""

    async def play() -> None:
        world = World()
        server = world.add("a.example")
        old = SigningKey("old", b"3" * 32)
        server.old.append(OldKey(old.verify_key, world.now_ms - DAY_MS))
        async with ring(world, database_url) as keys:
            before, after = world.now_ms - 2 * DAY_MS, world.now_ms
            far = world.now_ms + 400 * DAY_MS
            reasons = await keys.check(
                [
                    proof(world, "a.example", old, valid_at_ms=before),
                    proof(world, "a.example", old, valid_at_ms=after),
                    proof(world, "a.example", old, valid_at_ms=None),
                    proof(world, "a.example", old, valid_at_ms=before, in_use=True),
                    proof(world, "a.example", server.key, in_use=True),
                    proof(world, "a.example", server.key, valid_at_ms=far),
                ]
            )
            assert [reason is None for reason in reasons] == [True, False, True, False, True, False]
            asked = server.asked
            world.now_ms += 2 * DAY_MS  # what it said holds no more
            assert await keys.check([proof(world, "a.example", server.key, in_use=True)]) == [None]
            assert server.asked == asked + 1

    run(play())


def offline(world: World) -> tuple[Server, Server]:
    away, notary = world.add("away.example"), world.add("notary.example")
    away.is_up = False
    return away, notary


def test_notaries_speak_for_who_is_away(database_url: str) -> None:
    async def play() -> None:
        world = World()
        away, notary = offline(world)
        async with ring(world, database_url, ("us.example", "dead.example", "notary.example")) as keys:
            assert await keys.check([proof(world, "away.example", away.key)]) == [None]
            assert notary.asked == 2  # for its own keys, and for the other's
            assert await keys.check([proof(world, "away.example", away.key)]) == [None]
            assert notary.asked == 2

    run(play())


def test_a_notary_cannot_forge(database_url: str) -> None:
    async def play() -> None:
        world = World()
        _, notary = offline(world)
        world.forging = True
        async with ring(world, database_url, ("notary.example",)) as keys:
            assert await keys.check([proof(world, "away.example", notary.key)]) != [None]

    run(play())


def test_many_signatures_are_checked_in_slices(database_url: str) -> None:
    async def play() -> None:
        world = World()
        server = world.add("a.example")
        good, bad = proof(world, "a.example", server.key), proof(world, "a.example", SigningKey("1", b"f" * 32))
        async with ring(world, database_url) as keys:
            reasons = await keys.check([good, bad] * 250)
            assert [reason is None for reason in reasons] == [True, False] * 250

    run(play())
