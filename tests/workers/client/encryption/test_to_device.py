"""Messages to devices: to whom they go, once each, over the real master and over several."""

import orjson
import pytest

from hs_common.http.request import JSON_DEPTH_LIMIT
from hs_common.replication.encryption_calls import SendToDevice
from hs_master import trimming
from hs_master.encryption_tables import INBOX_LIMIT
from tests.master.harness import master
from tests.reactor import run
from tests.workers.client.encryption.world import EncryptionWorld, play
from tests.workers.client.room_world import Json, RoomWorld, User

PATH = "/sendToDevice/org.x/"


async def inbox(world: RoomWorld, user: User) -> dict[str, list[Json]]:
    """What waits for a user's devices."""
    rows = await world.db.fetch(
        "SELECT device_id, message FROM inbox WHERE user_id = %s ORDER BY device_id, pos", (user.user_id,)
    )
    waiting: dict[str, list[Json]] = {}
    for device_id, message in rows:
        waiting.setdefault(device_id, []).append(orjson.loads(message))
    return waiting


def nested(levels: int) -> Json:
    """An object of so many levels."""
    value: Json = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def from_alice(content: Json) -> Json:
    return {"type": "org.x", "sender": "@alice:test", "content": content}


def test_a_message_goes_to_the_devices_that_are_named(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        await world.device(bob, "E")
        messages = {
            bob.user_id: {"D": {"a": 1}, "NONE": {"a": 2}},
            "@nobody:test": {"*": {}},
            "@eve:far.org": {"*": {}},
        }
        assert await alice.ok("PUT", PATH + "1", {"messages": messages}) == {}
        assert await inbox(world, bob) == {"D": [from_alice({"a": 1})]}
        both = {bob.user_id: {"*": {"for": "all"}, "E": {"for": "E"}}}
        await alice.ok("PUT", PATH + "2", {"messages": both})
        assert await inbox(world, bob) == {
            "D": [from_alice({"a": 1}), from_alice({"for": "all"})],
            "E": [from_alice({"for": "E"})],
        }
        assert await alice.ok("PUT", PATH + "3", {"messages": {}}) == {}

    play(database_url, scenario)


def test_a_transaction_id_is_of_one_device_and_one_type(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        tablet = await world.device(alice, "E")
        for number, (user, path) in enumerate(
            ((alice, PATH), (alice, PATH), (tablet, PATH), (alice, "/sendToDevice/y/"))
        ):
            await user.ok("PUT", path + "1", {"messages": {alice.user_id: {"D": {"number": number}}}})
        contents = [message["content"]["number"] for message in (await inbox(world, alice))["D"]]
        assert contents == [0, 2, 3]

    play(database_url, scenario)


def test_a_repeat_after_the_master_changed_sends_nothing_twice(database_url: str) -> None:
    async def played() -> None:
        async with master(database_url) as first:
            world = EncryptionWorld(first)
            alice = await world.user("alice")
            body = {"messages": {alice.user_id: {"D": {"number": 1}}}}
            await alice.ok("PUT", PATH + "1", body)
        async with master(database_url) as second:
            world = EncryptionWorld(second)
            again = User(world, alice.user_id, alice.token)
            assert await again.ok("PUT", PATH + "1", body) == {}
            assert await inbox(world, again) == {"D": [from_alice({"number": 1})]}

    run(played(), timeout=60)


def test_wrong_messages_are_refused(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        for body, errcode in (
            ({}, "M_MISSING_PARAM"),
            ({"messages": {alice.user_id: {"D": 1}}}, "M_BAD_JSON"),
            ({"messages": {alice.user_id: {"": {}}}}, "M_BAD_JSON"),
            ({"messages": {"alice": {"D": {}}}}, "M_INVALID_PARAM"),
            ({"messages": [{}]}, "M_BAD_JSON"),
            ({"messages": {alice.user_id: [{}]}}, "M_BAD_JSON"),
            ({"messages": {alice.user_id: {"D": []}}}, "M_BAD_JSON"),
            ({"messages": {alice.user_id: {"D": {"nul": "\0"}}}}, "M_BAD_JSON"),
            ({"messages": {alice.user_id: {"D": nested(JSON_DEPTH_LIMIT - 2)}}}, "M_BAD_JSON"),
            ({"messages": {alice.user_id: {"D": nested(240)}}}, "M_BAD_JSON"),
            ({"messages": {alice.user_id: {str(number): {} for number in range(10_001)}}}, "M_BAD_JSON"),
        ):
            assert await alice.refused("PUT", PATH + "1", body) == (400, errcode)
        beyond = b'{"messages":{"@alice:test":{"D":' + b'{"a":' * 900 + b"1" + b"}" * 903
        assert await alice.refused("PUT", PATH + "1", beyond) == (400, "M_BAD_JSON")
        deepest = {"messages": {alice.user_id: {"D": nested(JSON_DEPTH_LIMIT - 3)}}}
        assert await alice.ok("PUT", PATH + "deep", deepest) == {}
        assert await inbox(world, alice) == {"D": [from_alice(nested(JSON_DEPTH_LIMIT - 3))]}
        long = "/sendToDevice/" + "x" * 256 + "/1"
        assert await alice.refused("PUT", long, {"messages": {}}) == (400, "M_INVALID_PARAM")

    play(database_url, scenario)


def test_an_inbox_is_bounded_and_keeps_the_newest(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "TRIMMED_ONE_IN", 1)

    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        await world.db.execute(
            "INSERT INTO inbox SELECT %s, 'D', n, n, '{}' FROM generate_series(1, %s) AS n",
            (alice.user_id, INBOX_LIMIT),
        )
        for number in range(3):
            message = b'{"number":%d}' % number
            await world.link.call(SendToDevice(sender=alice.user_id, messages={alice.user_id: {"*": message}}))
        row = await world.db.fetch_one("SELECT count(*), min(pos) FROM inbox")
        assert row == (INBOX_LIMIT, 4)

    play(database_url, scenario)


@pytest.mark.parametrize("step", [1, 2, 3, 64, 128, 1_000, 4_096])
def test_inboxes_are_trimmed_in_whatever_steps_positions_come(step: int) -> None:
    trimmed = [number for number in range(6_400) if trimming.is_trimmed_at(1_790_000_000_000_000 + number * step)]
    assert 50 <= len(trimmed) <= 200
