"""Dehydrated devices: one of each user, which receives messages until somebody picks them up."""

from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred, gatherResults

from hs_common.replication.calls import CloseSessions
from hs_common.replication.encryption_calls import SendToDevice
from hs_workers.client.encryption import dehydrating
from tests.workers.client.encryption.world import ALGORITHM, DeviceWithKeys, claim, play, query, signed
from tests.workers.client.room_world import RoomWorld, User

PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
DATA = {"algorithm": "m.dehydration.v2", "device_pickle": "x", "nonce": "y"}


def upload(user: User, device_id: str, **more: Any) -> dict[str, Any]:
    device = DeviceWithKeys(user, device_id)
    identity = {name: part for name, part in device.identity().items() if name != "signatures"}
    keys = signed({**identity, "dehydrated": True}, user.user_id, f"ed25519:{device_id}", device.key)
    return {
        "device_id": device_id,
        "device_data": DATA,
        "device_keys": keys,
        "one_time_keys": device.one_time(1),
        "fallback_keys": device.one_time(2, fallback=True),
        **more,
    }


def test_it_is_put_found_used_and_replaced(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        assert await alice.refused("GET", PATH) == (404, "M_NOT_FOUND")
        assert await alice.refused("DELETE", PATH) == (404, "M_NOT_FOUND")
        assert await alice.ok("PUT", PATH, upload(alice, "DRY")) == {"device_id": "DRY"}
        assert await alice.ok("GET", PATH) == {"device_id": "DRY", "device_data": DATA}
        assert await bob.refused("GET", PATH) == (404, "M_NOT_FOUND")
        told = (await query(bob, alice.user_id))["device_keys"][alice.user_id]["DRY"]
        assert told["dehydrated"] is True
        assert list(await claim(bob, alice.user_id, "DRY")) == [f"{ALGORITHM}:K1"]
        for number in range(3):
            message = orjson.dumps({"type": "m.x", "content": {"number": number}})
            await world.link.call(SendToDevice(sender=bob.user_id, messages={alice.user_id: {"DRY": message}}))
        events = f"{PATH}/DRY/events"
        for _ in range(2):  # nothing is deleted by reading
            answer = await alice.ok("POST", events, {})
            assert [event["content"]["number"] for event in answer["events"]] == [0, 1, 2]
        last = await alice.ok("POST", events, {"next_batch": answer["next_batch"]})
        assert last == {"events": [], "next_batch": answer["next_batch"]}
        assert await bob.refused("POST", events, {}) == (403, "M_FORBIDDEN")
        assert await alice.refused("POST", events, {"next_batch": "x"}) == (400, "M_INVALID_PARAM")
        assert await alice.ok("PUT", PATH, upload(alice, "DRIER")) == {"device_id": "DRIER"}
        assert (await alice.ok("GET", PATH))["device_id"] == "DRIER"
        assert "DRY" not in (await query(bob, alice.user_id))["device_keys"][alice.user_id]
        assert await alice.ok("DELETE", PATH) == {"device_id": "DRIER"}
        assert await alice.refused("GET", PATH) == (404, "M_NOT_FOUND")

    play(database_url, scenario)


def test_messages_come_in_batches_and_the_last_says_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dehydrating, "MAXIMUM_EVENTS", 2)

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        await alice.ok("PUT", PATH, upload(alice, "DRY"))
        for number in range(4):
            message = orjson.dumps({"type": "m.x", "content": {"number": number}})
            await world.link.call(SendToDevice(sender=bob.user_id, messages={alice.user_id: {"DRY": message}}))
        first = await alice.ok("GET", f"{PATH}/DRY/events")
        last = await alice.ok("GET", f"{PATH}/DRY/events", **{"from": first["next_batch"]})
        assert [one["content"]["number"] for one in first["events"] + last["events"]] == [0, 1, 2, 3]
        assert "next_batch" not in last

    play(database_url, scenario)


def test_of_several_put_at_once_one_stays(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        uploads = [upload(alice, f"DRY{number}") for number in range(5)]
        await gatherResults([Deferred.fromCoroutine(alice.ok("PUT", PATH, one)) for one in uploads])
        stays = (await alice.ok("GET", PATH))["device_id"]
        published = (await query(alice, alice.user_id))["device_keys"][alice.user_id]
        assert [device_id for device_id in published if device_id.startswith("DRY")] == [stays]
        await alice.ok("DELETE", PATH)
        assert await alice.ok("PUT", PATH, uploads[0]) == {"device_id": "DRY0"}

    play(database_url, scenario)


def test_what_is_no_dehydrated_device_is_refused(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        await DeviceWithKeys(alice).upload()
        for body in (
            upload(alice, "D"),  # the session's own device
            upload(alice, "DRY", device_data={}),
            upload(alice, "DRY", device_data={"algorithm": "x", "more": "x" * 70_000}),
            {**upload(alice, "DRY"), "device_id": "OTHER"},
            upload(alice, "DRY", device_keys={}),
        ):
            assert (await alice.refused("PUT", PATH, body))[0] == 400
        await alice.ok("PUT", PATH, upload(alice, "DRY"))
        # Deleted as any device is, it is gone.
        await world.link.call(CloseSessions(user_id=alice.user_id, device_ids=["DRY"]))
        assert await alice.refused("GET", PATH) == (404, "M_NOT_FOUND")

    play(database_url, scenario)
