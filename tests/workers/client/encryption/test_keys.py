"""Device keys: published, read and claimed, over the real master."""

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call, CloseSessions, DeactivateUser
from hs_common.replication.encryption_calls import HintKeyCounts, SetDeviceKeys
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from hs_common.storage import log
from tests.reactor import sleep
from tests.workers.client.encryption.world import (
    ALGORITHM,
    CrossSigner,
    DeviceWithKeys,
    EncryptionWorld,
    claim,
    play,
    query,
)
from tests.workers.client.room_world import Link, RoomWorld

REMOTE = "@eve:elsewhere.example"


def test_what_is_published_is_what_others_read(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        device = DeviceWithKeys(alice)
        assert await device.upload(1, 2, unsigned={"x": 1}) == {ALGORITHM: 2}
        answer = await query(bob, alice.user_id, bob.user_id, "@nobody:test", REMOTE)
        assert answer["device_keys"] == {
            alice.user_id: {"D": {**device.identity(), "unsigned": {}}},
            bob.user_id: {},
        }
        assert list(answer["failures"]) == ["elsewhere.example"]
        assert (await query(bob, alice.user_id, devices=["D", "E"]))["device_keys"][alice.user_id].keys() == {"D"}
        assert (await query(bob, alice.user_id, devices=["E"]))["device_keys"][alice.user_id] == {}

    play(database_url, scenario)


def test_a_display_name_is_told_beside_the_keys(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        await DeviceWithKeys(alice).upload()
        await world.db.execute("UPDATE devices SET display_name = 'Phone' WHERE user_id = %s", (alice.user_id,))
        told = (await query(alice, alice.user_id))["device_keys"][alice.user_id]["D"]
        assert told["unsigned"] == {"device_display_name": "Phone"}

    play(database_url, scenario)


def test_identity_keys_are_a_change_once(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        device = DeviceWithKeys(alice)
        await device.upload(1)
        head = await log.head(world.db)
        assert await device.upload(1) == {ALGORITHM: 1}
        assert await log.head(world.db) == head
        assert sum(isinstance(call, SetDeviceKeys) for call in world.link.calls) == 1
        renewed = DeviceWithKeys(alice, generation=1)
        assert await renewed.upload() == {ALGORITHM: 0}  # the old ones were signed by a key that is no more
        assert await log.head(world.db) > head

    play(database_url, scenario)


def test_keys_of_others_or_of_no_shape_are_refused(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        of_alice, of_bob = DeviceWithKeys(alice), DeviceWithKeys(bob)
        identity, keys = of_alice.identity(), of_alice.one_time(1)
        for body, errcode in (
            ({"device_keys": of_bob.identity()}, "M_INVALID_PARAM"),
            ({"device_keys": DeviceWithKeys(alice, "E").identity()}, "M_INVALID_PARAM"),
            ({"device_keys": {**identity, "algorithms": "m.olm"}}, "M_BAD_JSON"),
            ({"device_keys": {**identity, "keys": {"ed25519:D": 1}}}, "M_BAD_JSON"),
            ({"device_keys": {**identity, "signatures": {"a": 1}}}, "M_BAD_JSON"),
            ({"device_keys": {key: part for key, part in identity.items() if key != "keys"}}, "M_MISSING_PARAM"),
            ({"device_keys": {**identity, "x": "y" * 20_000}}, "M_INVALID_PARAM"),
            ({"one_time_keys": {"nonsense": "x"}}, "M_INVALID_PARAM"),
            ({"one_time_keys": {f"{ALGORITHM}:A": {"key": "x"}}}, "M_BAD_JSON"),
            ({"one_time_keys": {f"{ALGORITHM}:A": 1}}, "M_BAD_JSON"),
            ({"one_time_keys": {f"{ALGORITHM}:A": "x" * 5_000}}, "M_INVALID_PARAM"),
            ({"fallback_keys": {**keys, **of_alice.one_time(2)}}, "M_INVALID_PARAM"),
            ({"one_time_keys": {f"{ALGORITHM}:{number}": "x" for number in range(1_001)}}, "M_INVALID_PARAM"),
            ({"one_time_keys": []}, "M_BAD_JSON"),
        ):
            assert await alice.refused("POST", "/keys/upload", body) == (400, errcode), body

    play(database_url, scenario)


def test_another_key_under_the_same_id_is_refused(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        device = DeviceWithKeys(alice)
        await device.upload(1)
        other = {f"{ALGORITHM}:K1": device.one_time(2)[f"{ALGORITHM}:K2"]}
        answer = await alice.ask("POST", "/keys/upload", {"one_time_keys": other})
        assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")
        assert "already exists" in answer.json["error"]

    play(database_url, scenario)


def test_keys_are_given_out_in_their_order_and_then_the_fallback_key(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        device = DeviceWithKeys(alice)
        await device.upload(9)
        await device.upload(1, fallback_keys=device.one_time(5, fallback=True))
        assert await claim(bob, alice.user_id) == device.one_time(9)
        assert await claim(bob, alice.user_id) == device.one_time(1)
        for _ in range(2):
            assert await claim(bob, alice.user_id) == device.one_time(5, fallback=True)
        assert await claim(bob, alice.user_id, algorithm="other") == {}
        assert await claim(bob, alice.user_id, "E") == {}
        answer = await bob.ok("POST", "/keys/claim", {"one_time_keys": {REMOTE: {"D": ALGORITHM}}})
        assert (answer["one_time_keys"], list(answer["failures"])) == ({}, ["elsewhere.example"])

    play(database_url, scenario)


def test_a_key_given_out_does_not_come_back_when_its_upload_is_repeated(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        device = DeviceWithKeys(alice)
        await device.upload(1)
        assert await claim(bob, alice.user_id) == device.one_time(1)
        assert await device.upload(1, 2) == {ALGORITHM: 1}
        assert await claim(bob, alice.user_id) == device.one_time(2)
        assert await claim(bob, alice.user_id) == {}

    play(database_url, scenario)


async def rows_of(world: RoomWorld, user_id: str) -> dict[str, int]:
    """How many rows of keys and messages a user has, by table."""
    tables = (
        *("device_keys", "one_time_keys", "fallback_keys", "key_signatures", "inbox"),
        *("cross_signing_keys", "key_backups", "backed_up_keys"),
    )
    counted = {}
    for table in tables:
        row = await world.db.fetch_one(f"SELECT count(*) FROM {table} WHERE user_id = %s", (user_id,))
        assert row is not None
        counted[table] = row[0]
    return {table: number for table, number in counted.items() if number}


@pytest.mark.parametrize("way", ["logout", "deactivation"])
def test_what_a_device_had_ends_with_it(database_url: str, way: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        device = DeviceWithKeys(alice)
        await device.upload(1, 2, fallback_keys=device.one_time(5, fallback=True))
        await claim(bob, alice.user_id)
        await bob.ok("PUT", "/sendToDevice/org.x/1", {"messages": {alice.user_id: {"*": {"n": 1}}}})
        assert len(await rows_of(world, alice.user_id)) == 4
        if way == "logout":
            await world.link.call(CloseSessions(user_id=alice.user_id, device_ids=["D"]))
        else:
            await world.link.call(DeactivateUser(user_id=alice.user_id))
        assert await rows_of(world, alice.user_id) == {}
        assert await claim(bob, alice.user_id) == {}
        assert (await query(bob, alice.user_id))["device_keys"].get(alice.user_id, {}) == {}

    play(database_url, scenario)


def test_a_backup_ends_with_its_account(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        body = {"algorithm": "x", "auth_data": {}}
        version = (await alice.ok("POST", "/room_keys/version", body))["version"]
        await world.db.execute(
            "INSERT INTO backed_up_keys SELECT %s, %s, '!r', n::text, 0, 0, true, '{}'"
            " FROM generate_series(1, 2500) AS n",
            (alice.user_id, version),
        )
        await CrossSigner(alice).upload()
        await world.link.call(DeactivateUser(user_id=alice.user_id))
        while await rows_of(world, alice.user_id):  # a job drops them
            await sleep(0.01)

    play(database_url, scenario)


def test_a_new_device_of_an_old_name_begins_without_keys(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        key = (alice.user_id, "E", ALGORITHM, "K1", "{}")
        await world.db.execute(
            "INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key) VALUES (%s, %s, %s, %s, %s)", key
        )
        assert await claim(bob, alice.user_id, "E") == {}
        await world.device(alice, "E")
        assert await rows_of(world, alice.user_id) == {}

    play(database_url, scenario)


class NoHints(Link):
    """The master does not take hints."""

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> Answer:
        if isinstance(call, HintKeyCounts):
            raise MatrixError(503, "M_UNKNOWN", "not now")
        return await super().call(call, key, options)


def test_without_hints_keys_are_taken_and_given_all_the_same(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        late = EncryptionWorld(world.master, link=NoHints(world.master))
        alice = await late.user("alice")
        device = DeviceWithKeys(alice)
        assert await device.upload(1) == {ALGORITHM: 1}
        assert await claim(alice, alice.user_id) == device.one_time(1)

    play(database_url, scenario)


def test_a_service_without_device_has_no_keys(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        await world.db.execute("UPDATE access_tokens SET device_id = NULL")
        assert await alice.refused("POST", "/keys/upload", {}) == (400, "M_INVALID_PARAM")
        assert await alice.refused("POST", "/keys/query", {"device_keys": {"nobody": []}}) == (400, "M_INVALID_PARAM")
        assert await alice.refused("POST", "/keys/query", {}) == (400, "M_MISSING_PARAM")
        too_many = {"device_keys": {alice.user_id: [str(number) for number in range(20_001)]}}
        assert await alice.refused("POST", "/keys/query", too_many) == (400, "M_INVALID_PARAM")
        unstorable = {"one_time_keys": {alice.user_id: {"": ALGORITHM}}}
        assert await alice.refused("POST", "/keys/claim", unstorable) == (400, "M_BAD_JSON")

    play(database_url, scenario)
