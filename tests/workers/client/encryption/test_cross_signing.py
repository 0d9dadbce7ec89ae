"""Cross-signing keys and signatures, over the real master."""

from typing import Any

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call, MakeDevice, NewSession, OpenSession
from hs_common.replication.encryption_calls import NewCrossSigningKey, SetCrossSigningKeys
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from hs_common.storage import log
from tests.master.harness import TestMaster
from tests.workers.client.encryption.world import (
    CrossSigner,
    DeviceWithKeys,
    EncryptionWorld,
    play,
    public,
    query,
    signed,
)
from tests.workers.client.room_world import Json, Link, RoomWorld, User
from tests.workers.client.world import with_password

USAGES = ("master", "self_signing", "user_signing")


async def sign(user: User, user_id: str, target: str, value: Any) -> Json:
    """The failures of publishing one signed object."""
    answer: Json = await user.ok("POST", "/keys/signatures/upload", {user_id: {target: value}})
    failures: Json = answer["failures"]
    return failures.get(user_id, {}).get(target, {})  # type: ignore[no-any-return]


def test_the_first_keys_need_no_password_and_only_their_owner_sees_all(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        signer = CrossSigner(alice)
        assert (await signer.upload()).json == {}
        own = await query(alice, alice.user_id)
        seen = await query(bob, alice.user_id)
        for usage in USAGES:
            assert own[f"{usage}_keys"] == {alice.user_id: {"signatures": {}, **signer.object(usage)}}
        assert seen["user_signing_keys"] == {}
        assert [seen[f"{usage}_keys"] for usage in USAGES[:2]] == [own[f"{usage}_keys"] for usage in USAGES[:2]]

    play(database_url, scenario)


def test_the_same_keys_again_need_no_password_and_change_nothing(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        signer = CrossSigner(await world.user("alice"))
        await signer.upload()
        head = await log.head(world.db)
        assert (await signer.upload()).json == {}
        assert (await signer.upload("master")).json == {}
        assert (await signer.upload("self_signing", "user_signing")).json == {}
        assert await log.head(world.db) == head

    play(database_url, scenario)


def test_other_keys_need_the_password(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        old, new = CrossSigner(alice), CrossSigner(alice, generation=1)
        assert (await old.upload("master")).json == {}
        challenge = await old.upload("self_signing")
        assert (challenge.status, challenge.json["flows"]) == (401, [{"stages": ["m.login.password"]}])
        auth = with_password(session=challenge.json["session"])
        assert (await old.upload("self_signing", auth=auth)).json == {}
        challenge = await new.upload()
        assert challenge.status == 401
        auth = with_password(session=challenge.json["session"])
        assert (await new.upload(auth=auth)).json == {}
        told = await query(alice, alice.user_id)
        assert told["self_signing_keys"][alice.user_id] == new.object("self_signing")

    play(database_url, scenario)


def test_a_new_master_key_ends_what_the_old_one_signed(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        device, old, new = DeviceWithKeys(alice), CrossSigner(alice), CrossSigner(alice, generation=1)
        await device.upload()
        await old.upload()
        assert await sign(alice, alice.user_id, "D", old.sign(device.identity(), "self_signing")) == {}
        challenge = await new.upload("master")
        await new.upload("master", auth=with_password(session=challenge.json["session"]))
        told = await query(alice, alice.user_id)
        assert told["self_signing_keys"] == told["user_signing_keys"] == {}
        assert told["device_keys"][alice.user_id]["D"]["signatures"] == device.identity()["signatures"]

    play(database_url, scenario)


def test_what_the_caller_did_not_know_of_is_not_replaced(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        await CrossSigner(alice).upload()
        call = SetCrossSigningKeys(user_id=alice.user_id, keys={}, expected={})
        with pytest.raises(MatrixError) as refused:
            await world.link.call(call)
        assert (refused.value.status, refused.value.errcode) == (409, "M_CONFLICT")

    play(database_url, scenario)


def test_wrong_keys_are_refused(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        signer, other = CrossSigner(alice), CrossSigner(bob)
        master, self_signing = signer.object("master"), signer.object("self_signing")
        wrong = {**self_signing, "signatures": other.object("self_signing")["signatures"]}
        for body, errcode in (
            ({"self_signing_key": self_signing}, "M_MISSING_PARAM"),
            ({}, "M_MISSING_PARAM"),
            ({"master_key": other.object("master")}, "M_INVALID_PARAM"),
            ({"master_key": {**master, "usage": ["self_signing"]}}, "M_INVALID_PARAM"),
            ({"master_key": {**master, "keys": {}}}, "M_INVALID_PARAM"),
            ({"master_key": {**master, "keys": {"ed25519:x": "y"}}}, "M_INVALID_PARAM"),
            ({"master_key": {**master, "keys": {"ed25519:y": "y"}}}, "M_INVALID_PARAM"),
            ({"master_key": {"user_id": alice.user_id}}, "M_BAD_JSON"),
            ({"master_key": "x"}, "M_BAD_JSON"),
            ({"master_key": master, "self_signing_key": wrong}, "M_INVALID_SIGNATURE"),
        ):
            assert await alice.refused("POST", "/keys/device_signing/upload", body) == (400, errcode), body

    play(database_url, scenario)


def test_a_key_and_a_device_never_have_one_name(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        signer = CrossSigner(alice)
        await world.device(alice, signer.name("self_signing"))
        answer = await signer.upload()
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
        of_bob = CrossSigner(bob)
        await of_bob.upload()
        session = NewSession(device_id=of_bob.name("master"), token_hash=b"x" * 32)
        with pytest.raises(MatrixError) as refused:
            await world.link.call(OpenSession(user_id=bob.user_id, session=session))
        assert refused.value.errcode == "M_INVALID_PARAM"
        with pytest.raises(MatrixError) as refused:  # by an application service, or dehydrated
            await world.link.call(MakeDevice(user_id=bob.user_id, device_id=of_bob.name("self_signing")))
        assert refused.value.errcode == "M_INVALID_PARAM"

    play(database_url, scenario)


class Overtaken(Link):
    """Before its first call arrives, somebody else publishes keys."""

    def __init__(self, m: TestMaster, other: CrossSigner) -> None:
        super().__init__(m)
        self._others = [other]

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> Answer:
        while self._others:
            await self._others.pop().upload()
        return await super().call(call, key, options)


def test_two_clients_that_begin_at_once_do_not_overwrite_each_other(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        first = CrossSigner(alice)
        late = EncryptionWorld(world.master, link=Overtaken(world.master, first))
        second = CrossSigner(User(late, alice.user_id, alice.token), generation=1)
        assert (await second.upload()).status == 401
        published = (await query(alice, alice.user_id))["master_keys"][alice.user_id]
        assert published["keys"] == first.object("master")["keys"]

    play(database_url, scenario)


def test_signatures_are_seen_by_whom_they_are_for(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = await world.user("alice"), await world.user("bob"), await world.user("carol")
        device, own, of_bob = DeviceWithKeys(alice), CrossSigner(alice), CrossSigner(bob)
        await device.upload()
        await own.upload()
        await of_bob.upload()
        device_signed = own.sign(device.identity(), "self_signing")
        master_signed = signed(own.object("master"), alice.user_id, "ed25519:D", device.key)
        bob_signed = own.sign(of_bob.object("master"), "user_signing")
        assert await sign(alice, alice.user_id, "D", device_signed) == {}
        assert await sign(alice, alice.user_id, own.name("master"), master_signed) == {}
        assert await sign(alice, bob.user_id, of_bob.name("master"), bob_signed) == {}
        seen = await query(carol, alice.user_id, bob.user_id)
        assert seen["device_keys"][alice.user_id]["D"]["signatures"] == device_signed["signatures"]
        assert seen["master_keys"][alice.user_id]["signatures"] == master_signed["signatures"]
        assert seen["master_keys"][bob.user_id]["signatures"] == {}
        assert (await query(alice, bob.user_id))["master_keys"][bob.user_id]["signatures"] == bob_signed["signatures"]
        head = await log.head(world.db)
        assert await sign(alice, alice.user_id, "D", device_signed) == {}
        assert await log.head(world.db) == head  # it is there already

    play(database_url, scenario)


def test_each_wrong_signature_fails_for_itself(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        device, own, of_bob = DeviceWithKeys(alice), CrossSigner(alice), CrossSigner(bob)
        await device.upload()
        await own.upload()
        await of_bob.upload()
        right = own.sign(device.identity(), "self_signing")
        key_id = f"ed25519:{own.name('self_signing')}"
        broken = {**right, "signatures": {alice.user_id: {key_id: "A" * 86}}}
        renamed = own.sign({**device.identity(), "algorithms": []}, "self_signing")
        by_bob = of_bob.sign(device.identity(), "self_signing")
        assert (await sign(alice, alice.user_id, "D", broken))["errcode"] == "M_INVALID_SIGNATURE"
        assert (await sign(alice, alice.user_id, "D", renamed))["errcode"] == "M_INVALID_PARAM"
        assert (await sign(alice, alice.user_id, "D", by_bob))["errcode"] == "M_INVALID_SIGNATURE"
        assert (await sign(alice, alice.user_id, "D", "x"))["errcode"] == "M_INVALID_PARAM"
        assert (await sign(alice, alice.user_id, "E", right))["errcode"] == "M_NOT_FOUND"
        assert (await sign(bob, alice.user_id, "D", right))["errcode"] == "M_NOT_FOUND"
        both = {alice.user_id: {"E": right, "D": right}, "nobody": {"D": right}}
        failures = (await alice.ok("POST", "/keys/signatures/upload", both))["failures"]
        assert {user: list(objects) for user, objects in failures.items()} == {alice.user_id: ["E"], "nobody": ["D"]}
        assert await alice.refused("POST", "/keys/signatures/upload", {alice.user_id: 1}) == (400, "M_BAD_JSON")
        many: Json = {alice.user_id: {str(number): {} for number in range(1_001)}}
        assert await alice.refused("POST", "/keys/signatures/upload", many) == (400, "M_INVALID_PARAM")

    play(database_url, scenario)


def test_a_user_signing_key_concerns_its_owner_alone(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        signer = CrossSigner(alice)
        key = NewCrossSigningKey(public_key=public(signer.keys["master"]), keys=b'{"keys":{}}', signatures=b"{}")
        first = await log.head(world.db) + 1
        await world.link.call(SetCrossSigningKeys(user_id=alice.user_id, keys={"user_signing": key}, expected={}))
        rows = await world.db.fetch("SELECT reader_id, user_id FROM private_key_changes")
        assert rows == [(alice.user_id, alice.user_id)]
        assert await world.db.fetch("SELECT 1 FROM device_list_changes WHERE pos >= %s", (first,)) == []

    play(database_url, scenario)
