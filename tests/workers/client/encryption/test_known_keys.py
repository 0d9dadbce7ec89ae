"""Keys that are remembered are told until the log says that they changed, and only at the head of the log."""

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from hs_common.reading.public_keys import Signatures, told_keys
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.items import KIND_OF, CrossSigningItem, DevicesItem, Item, PrivateKeysItem, UserItem, encode
from hs_workers.client.encryption.known_keys import KnownKeys
from tests.reactor import run

ALICE, BOB = "@alice:t", "@bob:t"
SIGNED = '{"@bob:t":{"ed25519:D":"own"}}'


class FakeLog:
    """At the head, unless it is told otherwise."""

    def __init__(self) -> None:
        self.is_live = True
        self.is_near = True

    async def wait_for(self, pos: int, timeout: float) -> bool:
        return self.is_near


class FakeQueries:
    """Bob has a device and a master key, which Alice may have signed. `before` is called before his keys are read."""

    def __init__(self) -> None:
        self.read = 0
        self.name = "phone"
        self.by_alice: list[tuple[str, ...]] = []
        self.before: Callable[[], object] = lambda: None

    async def fetch(self, sql: str, args: Any = ()) -> list[tuple[Any, ...]]:
        if "outbox" in sql:
            return [(7, *one) for one in self.by_alice] or [(7, None, None, None, None, None)]
        if "FROM device_keys" in sql:
            self.read += 1
            self.before()
            return [(BOB, "D", self.name, '{"user_id":"@bob:t"}', SIGNED)] if BOB in args[0] else []
        if "FROM cross_signing_keys" in sql:
            return [(BOB, "master", "M", '{"usage":["master"]}', "{}")] if BOB in args[0] else []
        if "FROM users" in sql:
            return [(user_id,) for user_id in args[0] if user_id == BOB]
        return [(BOB, "D", BOB, "ed25519:self", "crossed")]

    async def fetch_one(self, sql: str, args: Any = ()) -> tuple[Any, ...] | None:
        raise AssertionError("not asked")

    async def execute(self, sql: str, args: Any = ()) -> int:
        raise AssertionError("not asked")


class World:
    """Alice asks."""

    def __init__(self, maximum_bytes: int = 1 << 20) -> None:
        self.db, self.log = FakeQueries(), FakeLog()
        self.keys = KnownKeys(self.db, lambda: self.log, maximum_bytes)

    async def told(self, *user_ids: str, device_ids: tuple[str, ...] = ()) -> Any:
        users, signatures = await self.keys.seen_by(ALICE, user_ids)
        return orjson.loads(orjson.dumps(told_keys(users, ALICE, dict.fromkeys(user_ids, device_ids), signatures)))

    def happens(self, item: Item) -> None:
        one = EntryItem(8, KIND_OF[type(item)], msgspec.Raw(encode(item)))
        self.keys.subscription().apply([one], Entry(1, 8, 7, 1, b""))


def test_keys_are_read_once_and_told_as_they_are_stored() -> None:
    async def play() -> None:
        world = World()
        told = await world.told(BOB)
        signatures = {BOB: {"ed25519:D": "own", "ed25519:self": "crossed"}}
        device = {"user_id": BOB, "signatures": signatures, "unsigned": {"device_display_name": "phone"}}
        assert told["device_keys"] == {BOB: {"D": device}}
        assert told["master_keys"] == {BOB: {"usage": ["master"], "signatures": {}}}
        assert told["self_signing_keys"] == told["user_signing_keys"] == {}
        assert await world.told(BOB) == await world.told(BOB, device_ids=("D", "unknown")) == told
        assert (await world.told(BOB, device_ids=("unknown",)))["device_keys"] == {BOB: {}}
        assert world.db.read == 1

    run(play())


def test_the_readers_signatures_are_read_each_time() -> None:
    async def play() -> None:
        world = World()
        await world.told(BOB)
        world.db.by_alice = [(BOB, "M", ALICE, "ed25519:user", "verified")]
        assert (await world.told(BOB))["master_keys"][BOB]["signatures"] == {ALICE: {"ed25519:user": "verified"}}
        assert world.db.read == 1

    run(play())


def test_what_changes_is_read_again() -> None:
    async def play() -> None:
        changes: tuple[Item, ...] = (
            DevicesItem(BOB, ["D"]),
            CrossSigningItem(BOB),
            PrivateKeysItem(ALICE, [BOB]),
            UserItem(BOB),
        )
        world = World()
        for number, item in enumerate(changes):
            await world.told(BOB)
            world.db.name = f"phone {number}"
            world.happens(item)
            told = await world.told(BOB)
            assert told["device_keys"][BOB]["D"]["unsigned"] == {"device_display_name": world.db.name}
        world.keys.subscription().reset(9)
        await world.told(BOB)
        assert world.db.read == len(changes) + 2

    run(play())


def test_what_changes_while_it_is_read_is_not_kept() -> None:
    async def play() -> None:
        world = World()
        for change in (lambda: world.happens(DevicesItem(BOB, ["D"])), lambda: world.keys.subscription().reset(9)):
            world.db.before = change
            await world.told(BOB)
        world.db.before = lambda: None
        await world.told(BOB)
        await world.told(BOB)
        assert world.db.read == 3

    run(play())


def test_a_process_that_is_behind_or_has_no_room_reads_each_time() -> None:
    async def play() -> None:
        behind, small = World(), World(maximum_bytes=10)
        await behind.told(BOB)
        behind.log.is_near = False
        await behind.told(BOB)
        behind.log.is_near, behind.log.is_live = True, False
        await behind.told(BOB)
        assert behind.db.read == 3
        await small.told(BOB)
        await small.told(BOB)
        assert small.db.read == 2

    run(play())


def test_who_is_not_known_is_always_asked_for() -> None:
    async def play() -> None:
        world = World()
        nobody: Signatures = {}
        for _ in range(2):
            assert await world.keys.seen_by(ALICE, ["@nobody:t"]) == ({}, nobody)
        assert world.db.read == 2

    run(play())
