"""Messages to devices of ghosts, device lists and key counts: who is told what, once, under which names."""

from typing import Any

from hs_common.replication.calls import CloseSessions, MakeDevice, RegisterUser
from hs_common.replication.encryption_calls import SendToDevice, SetDeviceKeys
from hs_common.replication.ephemeral import KeyCounts
from hs_common.storage import one_time_keys
from hs_common.storage.one_time_keys import PublicKey
from hs_workers.appservice.devices import MESSAGES_LIMIT, fields
from tests.reactor import run, sleep, until
from tests.workers.appservice.world import ALICE, GHOST, World, world
from tests.workers.fake_site import HANG


async def device(w: World, user_id: str, device_id: str) -> None:
    await w.master.call(MakeDevice(user_id=user_id, device_id=device_id))
    await w.master.call(SetDeviceKeys(user_id=user_id, device_id=device_id, keys=b'{"keys":{}}', signatures=b"{}"))


async def ready(w: World, **changes: Any) -> str:
    """A worker that sends to the service, a ghost with a device, and a bridged room whose events were received."""
    worker = w.start_worker()
    await w.register(**{"org.matrix.msc3202": True, "receive_ephemeral": True, **changes})
    await until(lambda: worker.deliveries.sending_to)
    await w.master.call(RegisterUser(user_id=GHOST, password_hash=None, appservice_id="irc"))
    await w.master.call(RegisterUser(user_id=ALICE, password_hash=None))
    await device(w, ALICE, "PHONE")
    await device(w, GHOST, "BOT")
    room = await w.bridged_room()
    await until(lambda: len(w.service.event_ids) == 1)
    await w.rows_are_gone("service_events")
    return room


def to_device(user_id: str, device_id: str, body: bytes) -> SendToDevice:
    return SendToDevice(
        sender=ALICE,
        messages={user_id: {device_id: b'{"type":"m.x","sender":"%s","content":{"n":%s}}' % (ALICE.encode(), body)}},
    )


def messages(w: World) -> list[dict[str, Any]]:
    return [one for body in w.service.transactions.values() for one in body.get("to_device", [])]


def told(w: World, name: str) -> list[Any]:
    return [body[name] for body in w.service.transactions.values() if name in body]


def changed(w: World) -> set[str]:
    return {user_id for lists in told(w, "device_lists") for user_id in lists["changed"]}


def test_messages_to_ghosts_arrive_in_order_and_leave_the_inbox(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            await ready(w)
            for number in range(3):
                await w.master.call(to_device(GHOST, "*", b"%d" % number))
            await w.master.call(to_device(ALICE, "PHONE", b"9"))
            await until(lambda: len(messages(w)) == 3)
            assert [one["content"]["n"] for one in messages(w)] == [0, 1, 2]
            assert messages(w)[0] == {
                "type": "m.x", "sender": ALICE, "content": {"n": 0}, "to_user_id": GHOST, "to_device_id": "BOT",
            }  # fmt: skip
            for body in w.service.transactions.values():
                assert body.get("to_device") == body.get("de.sorunome.msc2409.to_device")
            await w.rows_are_gone("service_to_device")
            rows = await w.master.db.fetch("SELECT user_id FROM inbox")
            assert rows == [(ALICE,)]

    run(play())


def test_what_is_under_way_is_repeated_as_it_was(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            await ready(w)
            w.service.behave = lambda received: HANG
            await w.master.call(to_device(GHOST, "BOT", b"1"))
            await until(lambda: w.service.requests[-1].json.get("to_device"))
            hung = w.service.requests[-1]
            await w.kill(w.workers[0])
            await w.master.call(to_device(GHOST, "BOT", b"2"))
            w.service.behave = lambda received: 200
            w.start_worker()
            await until(lambda: len(messages(w)) == 2)
            again = next(one for one in w.service.requests if one is not hung and one.txn_id == hung.txn_id)
            assert again.json == hung.json

    run(play())


def test_many_messages_come_in_several_transactions(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            await ready(w)
            await w.kill(w.workers[0])
            for number in range(MESSAGES_LIMIT + 20):
                await w.master.call(to_device(GHOST, "BOT", b"%d" % number))
            w.start_worker()
            await until(lambda: len(messages(w)) == MESSAGES_LIMIT + 20)
            assert [one["content"]["n"] for one in messages(w)] == list(range(MESSAGES_LIMIT + 20))
            assert [len(one) for one in told(w, "to_device")] == [MESSAGES_LIMIT, 20]

    run(play())


def test_key_counts_are_told_when_they_change_and_when_a_worker_begins(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            await ready(w)
            key = PublicKey("signed_curve25519", "AAAA", "{}")
            await one_time_keys.add_one_time_keys(w.master.db, GHOST, "BOT", [key])
            await one_time_keys.set_fallback_keys(w.master.db, GHOST, "BOT", [key])
            before = len(w.service.transactions)
            w.workers[0].deliveries.heard(KeyCounts(ALICE, "PHONE"))
            w.workers[0].deliveries.heard(KeyCounts(GHOST, "BOT"))
            await until(lambda: len(w.service.transactions) > before)
            body = list(w.service.transactions.values())[-1]
            assert body["device_one_time_keys_count"] == {GHOST: {"BOT": {"signed_curve25519": 1}}}
            assert body["device_unused_fallback_key_types"] == {GHOST: {"BOT": ["signed_curve25519"]}}
            assert body["org.matrix.msc3202.device_one_time_keys_count"] == body["device_one_time_keys_count"]
            assert body["org.matrix.msc3202.device_one_time_key_counts"] == body["device_one_time_keys_count"]
            await w.kill(w.workers[0])
            before = len(w.service.transactions)
            w.start_worker()
            await until(lambda: len(w.service.transactions) > before)
            assert list(w.service.transactions.values())[-1]["device_one_time_keys_count"]

    run(play())


def test_device_lists_are_those_of_users_in_bridged_rooms(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            room = await ready(w)
            await until(lambda: changed(w) == {ALICE, GHOST})
            for user_id in ("@bob:test", "@eve:test"):
                await w.master.call(RegisterUser(user_id=user_id, password_hash=None))
                await device(w, user_id, "PHONE")
            await w.master.member(room, "@bob:test", "join")
            await until(lambda: changed(w) == {ALICE, GHOST, "@bob:test"})
            await w.master.member(room, "@bob:test", "leave")
            await until(lambda: any(lists["left"] == ["@bob:test"] for lists in told(w, "device_lists")))
            await w.master.call(CloseSessions(user_id="@eve:test", device_ids=None))
            await w.master.send(room, ALICE, "the end")
            await until(lambda: len(w.service.event_ids) == 4)
            assert "@eve:test" not in changed(w)

    run(play())


def test_who_came_and_went_in_one_transaction_is_gone(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            room = await ready(w)
            await until(lambda: changed(w) == {ALICE, GHOST})
            for user_id in ("@bob:test", "@eve:test"):
                await w.master.call(RegisterUser(user_id=user_id, password_hash=None))
                await device(w, user_id, "PHONE")
            await w.master.member(room, "@eve:test", "join")
            await until(lambda: changed(w) == {ALICE, GHOST, "@eve:test"} and len(w.service.event_ids) == 2)
            await w.rows_are_gone("service_events")
            await w.kill(w.workers[0])
            for user_id, memberships in (("@bob:test", ["join", "leave"]), ("@eve:test", ["leave", "join"])):
                for membership in memberships:
                    await w.master.member(room, user_id, membership)
            before = len(w.service.transactions)
            w.start_worker()
            await until(lambda: len(w.service.event_ids) == 6)
            body = list(w.service.transactions.values())[before]
            assert len(body["events"]) == 4
            assert body["device_lists"] == {"changed": ["@eve:test"], "left": ["@bob:test"]}

    run(play())


def test_who_did_not_ask_is_told_nothing_of_devices(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            room = await ready(w, **{"org.matrix.msc3202": False, "receive_ephemeral": False})
            await w.master.call(to_device(GHOST, "BOT", b"1"))
            await w.master.send(room, ALICE, "hello")
            await until(lambda: len(w.service.event_ids) == 2)
            await sleep(0.05)
            assert all(set(body) == {"events"} for body in w.service.transactions.values())
            assert await w.master.db.fetch("SELECT 1 FROM inbox")

    run(play())


def test_nothing_to_tell_adds_nothing() -> None:
    assert fields(None, []) == b""
