"""What transactions carry beside events."""

from typing import Any

import orjson
import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.process.shares import shard_of
from hs_common.replication import items
from hs_common.replication.calls import NewSession, OpenSession, SetTyping
from hs_common.replication.remote_calls import SetRemotePresence, SetRemoteReceipts
from hs_common.storage import remote_devices
from hs_workers.federation_inbound import remote_presence
from tests.master.harness import SERVER
from tests.reactor import sleep, until
from tests.workers.federation_inbound.writing_world import ALICE, FAR, WritingWorld, play

BOB = f"@bob:{FAR}"
STRANGER = f"@stranger:{FAR}"
VICTIM = "@victim:other.example"
Json = dict[str, Any]


def _edu(kind: str, **content: Any) -> Json:
    return {"edu_type": kind, "content": content}


async def _room_with_bob(world: WritingWorld) -> str:
    room = world.far.room()
    room.join(BOB)
    await world.enter(room)
    return room.room_id


def _typing(room_id: str, user_id: str, typing: bool = True) -> Json:
    return _edu("m.typing", room_id=room_id, user_id=user_id, typing=typing)


def test_typing(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room_id = await _room_with_bob(world)
        edus = [_typing(room_id, user) for user in (STRANGER, VICTIM, ALICE)]
        edus += [_typing("!nowhere:x", BOB), _edu("m.typing", room_id=5), {"edu_type": "m.typing"}, {}, _edu("m.new")]
        await world.send(edus=[*edus, _typing(room_id, BOB)])
        await world.send(edus=[_typing(room_id, BOB, typing=False)])
        told = [(call.user_id, call.timeout_ms > 0) for call in world.link.calls if isinstance(call, SetTyping)]
        assert told == [(BOB, True), (BOB, False)]

    play(database_url, scenario)


def test_receipts_also_of_events_that_come_later(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.join(BOB)
        await world.enter(room)
        event = room.say("read this")
        edus = [_receipt(room.room_id, user, event.event_id) for user in (BOB, STRANGER, VICTIM)]
        await world.send(edus=edus)
        assert world.logged(items.ReceiptItem) == []
        await world.send(event)
        await world.settled()
        await sleep(1.2)
        (item,) = world.logged(items.ReceiptItem)
        assert (item.user_id, item.event_id, item.ts) == (BOB, event.event_id, 17)
        await world.send(edus=[_receipt(room.room_id, BOB, event.event_id)])
        assert len(world.logged(items.ReceiptItem)) == 1
        before = sum(isinstance(call, SetRemoteReceipts) for call in world.link.calls)
        await world.send(edus=[_receipt(room.room_id, BOB, "$\0"), _receipt(room.room_id, BOB, "no id")])
        assert sum(isinstance(call, SetRemoteReceipts) for call in world.link.calls) == before

    play(database_url, scenario)


def _receipt(room_id: str, user_id: str, event_id: str) -> Json:
    return _edu("m.receipt", **{room_id: {"m.read": {user_id: {"event_ids": [event_id], "data": {"ts": 17}}}}})


def test_presence_of_those_whom_one_knows(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        await _room_with_bob(world)
        push = [{"user_id": user, "presence": "online", "last_active_ago": 5} for user in (BOB, STRANGER, VICTIM)]
        push += [{"user_id": BOB, "presence": "dancing"}, {}, {"user_id": BOB}]
        await world.send(edus=[_edu("m.presence", push=push), _edu("m.presence", push="x")])
        (call,) = [call for call in world.link.calls if isinstance(call, SetRemotePresence)]
        assert [update.user_id for update in call.updates] == [BOB]

    play(database_url, scenario)


def test_presence_of_who_is_just_coming_waits_for_the_join(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_presence, "WAITS_S", (0.1,) * 100)
    monkeypatch.setattr(remote_presence, "WAITING", 2)

    async def scenario(world: WritingWorld) -> None:
        def told() -> list[tuple[str, str]]:
            calls = [call for call in world.link.calls if isinstance(call, SetRemotePresence)]
            return [(update.user_id, update.presence) for call in calls for update in call.updates]

        async def say(presence: str, *users: str) -> None:
            push = [{"user_id": user, "presence": presence} for user in users]
            await world.send(edus=[_edu("m.presence", push=push)])

        await say("online", BOB)
        await say("online", STRANGER)
        await say("online", f"@one_too_many:{FAR}")
        await say("unavailable", BOB)
        assert told() == []
        await _room_with_bob(world)
        await until(lambda: told() == [(BOB, "unavailable")])
        await say("online", BOB)
        assert told() == [(BOB, "unavailable"), (BOB, "online")]

    play(database_url, scenario)


def test_messages_to_devices_come_once(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        session = NewSession(device_id="D1", token_hash=b"1" * 32)
        await world.link.call(OpenSession(user_id=ALICE, session=session))
        good = _message("m1")
        await world.send(edus=[good])
        await world.send(edus=[good, good])
        assert len(await _inbox(world)) == 1
        bad = [
            _message("m2", sender=VICTIM),
            _message("m3", messages={"@else:far.example": {"D1": {}}}),
            _message("m4", messages={ALICE: {"D1": "no object"}}),
            _message("m5", messages={ALICE: {"D1": {"x": "y" * 70_000}}}),
            _message("m6", type=5),
            _message("m7", messages=[]),
        ]
        await world.send(edus=bad)
        assert len(await _inbox(world)) == 1
        world.link.failures.append(MatrixError(503, "M_UNKNOWN", "away"))
        path = "/_matrix/federation/v1/send/again"
        body = {"pdus": [], "edus": [_message("m8")]}
        assert await world.refused("PUT", path, body) == (503, "M_UNKNOWN"), "its sender keeps it"
        await world.ask("PUT", path, body)
        assert len(await _inbox(world)) == 2

    play(database_url, scenario)


def _message(message_id: str, **changes: Any) -> Json:
    content = {"sender": BOB, "type": "m.test", "message_id": message_id, "messages": {ALICE: {"D1": {"n": 1}}}}
    return _edu("m.direct_to_device", **{**content, **changes})


async def _inbox(world: WritingWorld) -> list[Any]:
    return [orjson.loads(row[0]) for row in await world.db.fetch("SELECT message FROM inbox ORDER BY pos")]


def test_device_lists_follow_updates_and_are_asked_for_after_gaps(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        await _room_with_bob(world)
        world.far.devices[BOB] = _list(10, "ONE", "TWO")
        await world.send(
            edus=[_update(10, "TWO"), _update(10, "TWO", user_id=STRANGER), _update(1, "X", user_id=VICTIM)]
        )
        assert await remote_devices.kept_device(world.db, BOB, "TWO") is None, "nobody has asked yet"
        await _begin(world)
        await world.send(edus=[_update(10, "TWO")])
        await _until_fresh(world)
        assert await _devices(world) == {"ONE", "TWO"}
        asked = world.servers.asked.count((FAR, "user"))
        await world.send(edus=[_update(11, "THREE", prev=[10]), _update(12, "ONE", prev=[11], deleted=True)])
        assert await _devices(world) == {"TWO", "THREE"}
        await world.send(edus=[_update(11, "THREE", prev=[10])])
        assert world.servers.asked.count((FAR, "user")) == asked
        world.far.devices[BOB] = _list(20, "TWENTY")
        await world.send(edus=[_update(20, "TWENTY", prev=[19])])
        await _until_fresh(world)
        assert await _devices(world) == {"TWENTY"}
        told = {item.user_id for item in world.logged(items.DevicesItem)}
        assert told == {BOB}

    play(database_url, scenario)


def test_a_list_that_cannot_be_had_stays_stale(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        await _room_with_bob(world)
        await _begin(world)
        await world.send(edus=[_update(5, "ONE")])
        await until(lambda: (FAR, "user") in world.servers.asked)
        await sleep(0.1)
        kept = await remote_devices.kept_device(world.db, BOB, "ONE")
        assert kept is not None
        assert (kept.stream_id, kept.is_stale, kept.device) == (remote_devices.NOTHING_YET, True, None)

    play(database_url, scenario)


def test_cross_signing_keys(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        await _room_with_bob(world)
        await _begin(world)
        key = "nqOvzeuGWT/sRx3h7+MHoInYj3Uk2LD/unI9kDYcHwk"
        master = {"user_id": BOB, "usage": ["master"], "keys": {f"ed25519:{key}": key}}
        await world.send(edus=[_edu("m.signing_key_update", user_id=BOB, master_key=master, self_signing_key={})])
        await world.send(edus=[_edu("m.signing_key_update", user_id=VICTIM, master_key=master)])
        kept = await world.db.fetch("SELECT user_id, usage FROM remote_cross_signing_keys")
        assert kept == [(BOB, "master")]
        assert [item.user_id for item in world.logged(items.CrossSigningItem)] == [BOB]

    play(database_url, scenario)


def _update(stream_id: int, device_id: str, prev: list[int] | None = None, user_id: str = BOB, **more: Any) -> Json:
    content = {"user_id": user_id, "device_id": device_id, "stream_id": stream_id, "prev_id": prev or []}
    return _edu("m.device_list_update", **{**content, **more})


def _list(stream_id: int, *device_ids: str) -> Json:
    return {"user_id": BOB, "stream_id": stream_id, "devices": [{"device_id": one} for one in device_ids]}


async def _begin(world: WritingWorld) -> None:
    """Somebody wants the list, and does not come to ask for it."""
    user = (await remote_devices.users(world.db, [BOB], SERVER))[BOB]
    assert await remote_devices.begin(world.db, [user], [shard_of(BOB)], 1_000.0)


async def _devices(world: WritingWorld) -> set[str]:
    kept = (await remote_devices.users(world.db, [BOB], SERVER))[BOB].kept
    assert kept is not None
    return set(kept.devices)


async def _until_fresh(world: WritingWorld) -> None:
    for _ in range(3_000):
        kept = await remote_devices.kept_device(world.db, BOB, "ONE")
        if kept is not None and not kept.is_stale:
            return
        await sleep(0.02)
    raise AssertionError("the list stays stale")
