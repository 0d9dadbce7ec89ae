"""Typing, presence and receipts for services that want them: whom they interest, and what is left of many of them."""

from typing import Any

import orjson

from hs_common.matrix.appservice import Namespace, Registration, Service, Services
from hs_common.replication.calls import ReceiptMark, SetReceipts
from hs_common.replication.ephemeral import KeyCounts, Presence, Typing
from hs_common.replication.items import ReceiptItem
from hs_workers.appservice.ephemeral import KEPT_LIMIT, EphemeralLane
from tests.reactor import run, sleep, until
from tests.workers.appservice.world import ALICE, GHOST, World, world
from tests.workers.fake_site import HANG


def tell(w: World, message: Any) -> None:
    for worker in w.workers:
        worker.deliveries.heard(message)


async def ready(w: World, **changes: Any) -> str:
    """A worker that sends to the service, and a bridged room whose events were received."""
    worker = w.start_worker()
    await w.register(**{"receive_ephemeral": True, **changes})
    await until(lambda: worker.deliveries.sending_to)
    room = await w.bridged_room()
    await until(lambda: len(w.service.event_ids) == 1)
    await w.rows_are_gone("service_events")
    return room


def test_typing_presence_and_receipts_arrive_under_both_names(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            room = await ready(w)
            event = await w.master.send(room, ALICE, "hello")
            tell(w, Typing(room, (ALICE,)))
            tell(w, Presence(ALICE, "online", 1_699_999_999_000, True, "here"))
            mark = ReceiptMark(receipt_type="m.read", event_id=event, thread_id="main")
            await w.master.call(SetReceipts(room_id=room, user_id=ALICE, receipts=[mark], timestamp_ms=5))
            await until(lambda: len(w.service.ephemeral) == 3)
            by_type = {one["type"]: one for one in w.service.ephemeral}
            assert by_type["m.typing"] == {"type": "m.typing", "room_id": room, "content": {"user_ids": [ALICE]}}
            assert by_type["m.presence"]["sender"] == ALICE
            assert by_type["m.presence"]["content"] == {
                "presence": "online",
                "last_active_ago": 1000,
                "currently_active": True,
                "status_msg": "here",
            }
            receipt = {event: {"m.read": {ALICE: {"ts": 5, "thread_id": "main"}}}}
            assert by_type["m.receipt"] == {"type": "m.receipt", "room_id": room, "content": receipt}
            for body in w.service.transactions.values():
                assert body.get("ephemeral") == body.get("de.sorunome.msc2409.ephemeral")

    run(play())


def test_what_is_under_way_is_repeated_as_it_was(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            room = await ready(w)
            w.service.behave = lambda received: HANG
            tell(w, Typing(room, (ALICE,)))
            await until(lambda: w.service.requests[-1].json.get("ephemeral"))
            hung = w.service.requests[-1]
            await w.kill(w.workers[0])
            w.service.behave = lambda received: 200
            w.start_worker()
            await until(lambda: w.service.ephemeral)
            assert w.service.requests[-1].txn_id == hung.txn_id
            assert w.service.requests[-1].json == hung.json
            assert hung.json["events"] == []

    run(play())


def test_private_receipts_are_for_the_services_own_users_alone(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            room = await ready(w)
            event = await w.master.send(room, ALICE, "hello")
            for user_id in (ALICE, GHOST):
                mark = ReceiptMark(receipt_type="m.read.private", event_id=event)
                await w.master.call(SetReceipts(room_id=room, user_id=user_id, receipts=[mark]))
            await until(lambda: w.service.ephemeral)
            await sleep(0.2)
            (receipt,) = w.service.ephemeral
            assert list(receipt["content"][event]["m.read.private"]) == [GHOST]

    run(play())


def test_nothing_is_told_of_other_rooms_and_to_services_that_do_not_want_it(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            room = await ready(w)
            other = await w.master.create_room(ALICE)
            tell(w, Typing(other, (ALICE,)))
            tell(w, Presence("@stranger:test", "online", 1, True, None))
            tell(w, KeyCounts(ALICE, "D"))
            tell(w, Typing(room, (GHOST,)))
            await until(lambda: w.service.ephemeral)
            assert [one["room_id"] for one in w.service.ephemeral] == [room]
            await w.register(receive_ephemeral=False)
            await sleep(0.2)
            tell(w, Typing(room, ()))
            await w.master.send(room, ALICE, "the last")
            await until(lambda: len(w.service.event_ids) == 2)
            assert len(w.service.ephemeral) == 1

    run(play())


class NoDatabase:
    """A room that interests everybody."""

    async def fetch(self, sql: str, args: Any = None) -> list[Any]:
        return [(room_id, "irc") for room_id in args[0]] if "as_room" in sql and "JOIN" not in sql else []


def lane() -> EphemeralLane:
    namespace = Registration(id="irc", url="http://x", sender_localpart="bot", users=(Namespace("@irc_.*"),))
    services = Services([Service(namespace, "test")])
    made: Any = EphemeralLane(NoDatabase(), lambda: services, lambda: {"irc"})  # type: ignore[arg-type]
    return made  # type: ignore[no-any-return]


def test_the_newest_value_of_each_is_kept_and_not_too_many() -> None:
    async def play() -> None:
        one = lane()
        for number in range(3):
            one.heard(Typing("!a", (f"@{number}:test",)))
            one.heard(ReceiptItem("!a", ALICE, "m.read", "", f"$event{number}", number, number, 0))
            await one.sort()
        kept = orjson.loads(one.take("irc") or "[]")
        assert [event["content"] for event in kept] == [
            {"user_ids": ["@2:test"]},
            {"$event2": {"m.read": {ALICE: {"ts": 2}}}},
        ]
        assert one.take("irc") is None
        for number in range(KEPT_LIMIT + 10):
            one.heard(Typing(f"!{number}", ()))
        await one.sort()
        kept = orjson.loads(one.take("irc") or "[]")
        assert (len(kept), kept[-1]["room_id"]) == (KEPT_LIMIT, f"!{KEPT_LIMIT + 9}")

    run(play())
