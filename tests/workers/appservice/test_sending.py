"""Every event reaches its service exactly once per transaction id, in order, whoever fails, hangs or dies meanwhile."""

from random import Random

from hs_common.replication.calls import PauseAppService, RemoveAppService, WakeAppService
from tests.reactor import run, sleep, until
from tests.workers.appservice.fake_service import Received
from tests.workers.appservice.world import ALICE, GHOST, World, world
from tests.workers.fake_site import HANG, LOSE_ANSWER


def unchanged(w: World) -> bool:
    """Whether each repeated transaction had the same events; and no event was in two transactions."""
    same = all(
        [event["event_id"] for event in first["events"]] == [event["event_id"] for event in again["events"]]
        for first, again in w.service.repeats
    )
    return same and len(set(w.service.event_ids)) == len(w.service.event_ids)


def test_events_arrive_in_the_format_for_clients(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            await w.register()
            room = await w.master.create_room(ALICE)
            invite = await w.master.member(room, ALICE, "invite", GHOST)
            join = await w.master.member(room, GHOST, "join", displayname="Ghost")
            message = await w.master.send(room, ALICE, "hello")
            await w.master.event(room, ALICE, "m.room.redaction", {}, redacts=message)
            await until(lambda: len(w.service.event_ids) == 4)
            first = w.service.requests[0]
            assert first.authorization == "hs_irc"
            assert first.query == {}
            assert first.path.startswith("/_matrix/app/v1/transactions/")
            events = {event["event_id"]: event for body in w.service.transactions.values() for event in body["events"]}
            assert {stripped["type"] for stripped in events[invite]["unsigned"]["invite_room_state"]} >= {
                "m.room.create",
                "m.room.member",
            }
            assert events[join]["unsigned"]["replaces_state"] == invite
            assert events[join]["unsigned"]["prev_content"]["membership"] == "invite"
            assert events[join]["state_key"] == GHOST
            assert "age" in events[message]["unsigned"]
            assert events[message]["room_id"] == room
            await w.rows_are_gone("service_events")

    run(play())


def test_what_waited_comes_in_batches_of_a_hundred(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            await w.register()
            room = await w.bridged_room()
            await w.send(room, 249)
            wanted = await w.waiting()
            w.start_worker()
            await until(lambda: len(w.service.event_ids) == 250)
            assert w.service.event_ids == wanted
            assert [len(body["events"]) for body in w.service.transactions.values()] == [100, 100, 50]

    run(play())


def test_large_events_make_small_batches(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            await w.register()
            room = await w.bridged_room()
            sent = [await w.master.send(room, ALICE, "x" * 60_000) for _ in range(40)]
            w.start_worker()
            await until(lambda: w.service.event_ids[1:] == sent)
            assert len(w.service.transactions) == 2

    run(play())


def test_a_service_that_fails_and_loses_answers_gets_everything_once(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            random = Random(3)
            w.service.behave = lambda received: random.choice((200, 200, 500, LOSE_ANSWER, 429))
            w.start_worker()
            await w.register()
            room = await w.bridged_room()
            for number in range(30):
                await w.master.send(room, ALICE, f"message {number}")
                await w.master.call(WakeAppService(service_id="irc"))
            w.service.behave = lambda received: 200
            rows = await w.master.db.fetch("SELECT event_id FROM timeline ORDER BY order_pos")
            wanted = [event_id for (event_id,) in rows][-31:]
            await w.master.call(WakeAppService(service_id="irc"))
            await until(lambda: w.service.event_ids == wanted)
            assert unchanged(w)

    run(play())


def test_a_killed_worker_is_succeeded_by_one_that_repeats_its_transaction(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.service.behave = lambda received: HANG
            first = w.start_worker()
            await w.register()
            room = await w.bridged_room()
            await until(lambda: w.service.requests)
            sent = await w.send(room, 5)
            hung = w.service.requests[0]
            await w.kill(first)
            w.service.behave = lambda received: 200
            w.start_worker()
            await until(lambda: w.service.event_ids[1:] == sent)
            repeated = w.service.requests[1]
            assert repeated.txn_id == hung.txn_id
            assert [event["event_id"] for event in repeated.json["events"]] == [
                event["event_id"] for event in hung.json["events"]
            ]

    run(play())


def test_workers_that_die_one_after_the_other_lose_and_double_nothing(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            random = Random(5)
            w.service.behave = lambda received: random.choice((200, 200, 200, LOSE_ANSWER, HANG))
            await w.register()
            room = await w.bridged_room()
            sent: list[str] = []
            for _ in range(5):
                worker = w.start_worker()
                await until(lambda worker=worker: worker.deliveries.sending_to)  # type: ignore[misc]
                sent += await w.send(room, 20)
                await w.kill(worker)
            w.service.behave = lambda received: 200
            w.start_worker()
            await until(lambda: w.service.event_ids[1:] == sent)
            assert unchanged(w)

    run(play(), timeout=60)


def test_two_workers_share_the_services_and_hand_them_over(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            names = [f"net{number}" for number in range(8)]
            for name in names:
                await w.register(name)
            first = w.start_worker()
            await until(lambda: len(first.deliveries.sending_to) == 8)
            second = w.start_worker()
            await until(lambda: second.deliveries.sending_to)
            assert sorted(first.deliveries.sending_to + second.deliveries.sending_to) == names
            assert first.deliveries.sending_to
            room = await w.master.create_room(ALICE)
            for name in names:
                await w.master.member(room, f"@{name}_ghost:test", "join")
            await w.stop(first)
            await w.master.send(room, ALICE, "to all")
            await until(lambda: len(second.deliveries.sending_to) == 8)
            # The ghosts' joins are heard by all that are there already, the message by all.
            await until(lambda: len(w.service.event_ids) == 8 * 9 // 2 + 8)

    run(play())


def test_a_worker_whose_share_was_taken_writes_nothing_more(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.service.behave = lambda received: HANG
            worker = w.start_worker()
            await w.register()
            await w.bridged_room()
            await until(lambda: w.service.requests)
            await w.master.db.execute("UPDATE service_cursors SET term = term + 1")
            before = await w.master.db.fetch("SELECT * FROM service_cursors")
            await w.service.hang_up()
            await sleep(0.3)
            assert await w.master.db.fetch("SELECT * FROM service_cursors") == before
            await w.kill(worker)

    run(play())


def test_older_services_are_asked_under_their_paths(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.service.behave = lambda received: 200 if received.path.startswith("/transactions/") else 404
            w.start_worker()
            await w.register()
            room = await w.bridged_room()
            sent = await w.send(room, 3)
            await until(lambda: w.service.event_ids[1:] == sent)
            legacy = [received for received in w.service.requests if received.path.startswith("/transactions/")]
            assert all(received.query == {"access_token": "hs_irc"} for received in legacy)
            assert len(w.service.requests) == len(legacy) + 1  # what works is remembered

    run(play())


def test_a_service_that_only_looks_at_the_query_is_understood(database_url: str) -> None:
    def old(received: Received) -> int:
        return 200 if received.query.get("access_token") == "hs_irc" else 403

    async def play() -> None:
        async with world(database_url) as w:
            w.service.behave = old
            w.start_worker()
            await w.register()
            await w.bridged_room()
            await until(lambda: len(w.service.event_ids) == 1)
            assert w.service.requests[-1].path.startswith("/_matrix/app/v1/")

    run(play())


def test_a_paused_service_gets_everything_later_and_a_removed_one_nothing(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            await w.register()
            room = await w.bridged_room()
            await until(lambda: len(w.service.event_ids) == 1)
            await w.master.call(PauseAppService(service_id="irc", paused=True))
            await sleep(0.2)
            sent = await w.send(room, 3)
            assert len(w.service.event_ids) == 1
            await w.master.call(PauseAppService(service_id="irc", paused=False))
            await until(lambda: w.service.event_ids[1:] == sent)
            await w.master.call(RemoveAppService(service_id="irc"))
            await w.master.send(room, ALICE, "to nobody")
            await w.rows_are_gone("service_cursors")
            await w.register()
            again = await w.send(room, 1)
            await until(lambda: w.service.event_ids[1:] == sent + again)

    run(play())


def test_a_service_that_moves_is_found(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            await w.register(url="http://127.0.0.1:9")
            room = await w.bridged_room()
            sent = await w.send(room, 2)
            await w.register()
            await until(lambda: w.service.event_ids[1:] == sent)

    run(play())


def test_the_log_is_followed_closely_while_a_service_takes_what_it_is_sent(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker()
            await w.register()
            assert not worker.deliveries.is_sending
            w.service.behave = lambda received: HANG
            await w.bridged_room()
            await until(lambda: w.service.requests)
            assert worker.deliveries.is_sending
            w.service.behave = lambda received: 500
            await w.service.hang_up()
            await until(lambda: not worker.deliveries.is_sending)  # a service that is away costs nothing
            w.service.behave = lambda received: 200
            await w.master.call(WakeAppService(service_id="irc"))
            await until(lambda: w.service.event_ids)
            await w.rows_are_gone("service_events")
            await until(lambda: not worker.deliveries.is_sending)

    run(play())
