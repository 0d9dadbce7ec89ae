"""Every event reaches every server that is meant to have it, in order, once per transaction id, whoever fails."""

from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from hs_common.federation.signs_of_life import SignsOfLife
from hs_common.process.background import Background
from hs_common.replication.calls import NewSession, OpenSession, ReceiptMark, RegisterUser, SetReceipts
from hs_common.replication.encryption_calls import SendToDevice, SetDeviceKeys
from hs_common.replication.ephemeral import Presence, Typing
from hs_common.storage import destinations
from hs_common.storage.queries import CONNECTION_LOST, DatabaseUnavailable, Queries
from hs_workers.federation_sender import ephemeral
from tests.master.harness import SERVER
from tests.reactor import run, sleep, until
from tests.workers.federation_sender.world import ALICE, STEADY, World, world

BOB, CAROL = "@bob:there", "@carol:else"


def unchanged(w: World) -> bool:
    """Whether each repeated transaction was the same to the letter."""
    return all(first == again for first, again in w.elsewhere.repeats)


def memberships_of(w: World, user_id: str) -> list[str]:
    """Of a user, as his own server received them."""
    bodies = w.elsewhere.transactions.get(user_id.partition(":")[2], {}).values()
    pdus = [pdu for body in bodies for pdu in body["pdus"] if pdu.get("state_key") == user_id]
    return [pdu["content"]["membership"] for pdu in pdus]


def test_events_go_to_who_is_in_the_room(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            alone = await w.master.create_room(ALICE)
            await w.master.send(alone, ALICE, "for nobody")
            room = await w.shared_room(BOB)
            await w.master.send(room, ALICE, "for there")
            await w.join(room, CAROL)
            await w.master.send(room, ALICE, "for both")
            await until(lambda: w.elsewhere.bodies("there") == ["for there", "for both"])
            await until(lambda: w.elsewhere.bodies("else") == ["for both"])
            received = [pdu for body in w.elsewhere.transactions["there"].values() for pdu in body["pdus"]]
            assert [pdu["state_key"] for pdu in received if pdu["type"] == "m.room.member"] == [BOB, CAROL]
            body = next(iter(w.elsewhere.transactions["there"].values()))
            assert (body["origin"], isinstance(body["origin_server_ts"], int)) == ("test", True)
            assert "unsigned" not in received[0]

    run(play())


def test_who_leaves_hears_of_it_and_of_nothing_more(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            room = await w.shared_room(BOB, CAROL)
            await w.master.member(room, ALICE, "leave", BOB)
            await w.master.send(room, ALICE, "without him")
            await until(lambda: w.elsewhere.bodies("else") == ["without him"])
            await until(lambda: memberships_of(w, BOB)[-1:] == ["leave"])
            await sleep(0.1)
            assert w.elsewhere.bodies("there") == []
            # Whoever is out of the room is told what concerns him all the same.
            await w.master.member(room, ALICE, "ban", BOB)
            await w.master.member(room, ALICE, "leave", BOB)
            await until(lambda: memberships_of(w, BOB) == ["join", "leave", "leave"])

    run(play())


def test_what_waited_while_no_worker_ran_is_found(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            room = await w.shared_room(BOB)
            sent = [f"m{number}" for number in range(70)]
            for text in sent:
                await w.master.send(room, ALICE, text)
            w.start_worker()
            await until(lambda: w.elsewhere.bodies("there") == sent)
            assert [len(body["pdus"]) for body in w.elsewhere.transactions["there"].values()] == [50, 21]

    run(play())


def test_what_waits_is_looked_for_again_when_the_database_was_away(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, fails = destinations.behind, [True]

    async def behind(db: Queries) -> list[str]:
        if fails:
            fails.pop()
            raise DatabaseUnavailable(CONNECTION_LOST, "away")
        return await looked(db)

    monkeypatch.setattr(destinations, "behind", behind)

    async def play() -> None:
        async with world(database_url) as w:
            room = await w.shared_room(BOB)
            await w.master.send(room, ALICE, "nobody runs")
            w.start_worker()
            await until(lambda: w.elsewhere.bodies("there") == ["nobody runs"])
            assert not fails

    run(play())


def test_lost_answers_are_asked_for_again_with_the_same_content(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker()
            room = await w.shared_room(BOB)
            w.elsewhere.losing.add("there")
            await w.master.send(room, ALICE, "one")
            await until(lambda: worker.deliveries.failing == 1)
            for sender in worker.deliveries._senders.values():
                sender.retry_now()
            await w.master.send(room, ALICE, "two")
            await until(lambda: w.elsewhere.bodies("there") == ["one", "two"])
            assert len(w.elsewhere.repeats) == 1
            assert unchanged(w)

    run(play())


def test_a_successor_goes_on_where_a_killed_worker_was(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            first = w.start_worker()
            room = await w.shared_room(BOB, CAROL)
            await w.master.send(room, ALICE, "zero")
            await until(lambda: w.elsewhere.bodies("there") == ["zero"] == w.elsewhere.bodies("else"))
            w.elsewhere.hanging.add("there")
            await w.master.send(room, ALICE, "one")
            await until(lambda: w.elsewhere.bodies("else") == ["zero", "one"])
            await w.kill(first)
            w.elsewhere.hanging.clear()
            await w.master.send(room, ALICE, "two")
            w.start_worker()
            await until(lambda: w.elsewhere.bodies("there") == ["zero", "one", "two"], timeout=10)
            await until(lambda: w.elsewhere.bodies("else") == ["zero", "one", "two"], timeout=10)
            assert unchanged(w)

    run(play())


def test_a_server_that_was_away_for_long_gets_the_newest_of_each_room(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            first, second = await w.shared_room(BOB), await w.shared_room(BOB)
            for number in range(60):
                await w.master.send(first, ALICE, f"first {number}")
            await w.master.send(second, ALICE, "second")
            assert await destinations.claim(w.master.db, "there", 0, 0) is not None
            await destinations.failed(w.master.db, "there", 0, 9, 0, "away")
            w.start_worker()
            await until(lambda: len(w.elsewhere.bodies("there")) == 2)
            assert w.elsewhere.bodies("there") == ["first 59", "second"]
            await w.master.send(first, ALICE, "and on")
            await until(lambda: w.elsewhere.bodies("there")[-1] == "and on")

    run(play())


def test_devices_of_others_get_their_messages_and_hear_of_changes(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            await w.shared_room(BOB)
            session = NewSession(device_id="A", token_hash=b"t" * 32)
            await w.master.call(RegisterUser(user_id=ALICE, password_hash=None))
            await w.master.call(OpenSession(user_id=ALICE, session=session))
            keys = orjson.dumps({"user_id": ALICE, "device_id": "A", "algorithms": [], "keys": {"ed25519:A": "x"}})
            await w.master.call(SetDeviceKeys(user_id=ALICE, device_id="A", keys=keys, signatures=b"{}"))
            message = orjson.dumps({"type": "m.test", "sender": ALICE, "content": {"n": 1}})
            await w.master.call(SendToDevice(sender=ALICE, messages={BOB: {"B": message}, CAROL: {"*": message}}))
            await until(lambda: len(w.elsewhere.edus("else", "m.direct_to_device")) == 1)
            await until(lambda: len(w.elsewhere.edus("there", "m.direct_to_device")) == 1)
            (told,) = w.elsewhere.edus("there", "m.direct_to_device")
            assert told["messages"] == {BOB: {"B": {"n": 1}}}
            assert (told["sender"], told["type"]) == (ALICE, "m.test")
            updates = w.elsewhere.edus("there", "m.device_list_update")
            assert updates[-1]["keys"]["keys"] == {"ed25519:A": "x"}
            assert updates[-1]["prev_id"] == [updates[-2]["stream_id"]]
            assert w.elsewhere.edus("else", "m.device_list_update") == []
            while await w.master.db.fetch("SELECT 1 FROM outgoing_edus"):
                await sleep(0.02)

    run(play())


def test_what_passes_is_told_while_it_lasts(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker(STEADY)
            room = await w.shared_room(BOB)
            await until(lambda: "there" in w.elsewhere.transactions)
            worker.deliveries.heard(Typing(room, (ALICE,)))
            await until(lambda: len(w.elsewhere.edus("there", "m.typing")) == 1)
            worker.deliveries.heard(Typing(room, (BOB,)))
            worker.deliveries.heard(Presence(ALICE, "online", 0, True, "here"))
            worker.deliveries.heard(Presence(BOB, "online", 0, True, None))
            await until(lambda: len(w.elsewhere.edus("there", "m.presence")) == 1)
            await until(lambda: len(w.elsewhere.edus("there", "m.typing")) == 2)
            assert [edu["typing"] for edu in w.elsewhere.edus("there", "m.typing")] == [True, False]
            (told,) = w.elsewhere.edus("there", "m.presence")
            assert [(push["user_id"], push["status_msg"]) for push in told["push"]] == [(ALICE, "here")]

    run(play())


def receipts_of(w: World, server: str) -> list[str]:
    """Events that users have read, as a server was told."""
    contents = w.elsewhere.edus(server, "m.receipt")
    return [user["event_ids"][0] for one in contents for room in one.values() for user in room["m.read"].values()]


async def read(w: World, room: str, event_id: str, thread_id: str = "") -> None:
    mark = ReceiptMark(receipt_type="m.read", event_id=event_id, thread_id=thread_id)
    await w.master.call(SetReceipts(room_id=room, user_id=ALICE, receipts=[mark]))


def test_who_was_away_is_told_what_was_read_meanwhile(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker(STEADY)
            room, alone = await w.shared_room(BOB), await w.shared_room(CAROL)
            events = [await w.master.send(room, ALICE, f"m{number}") for number in range(30)]
            await until(lambda: len(w.elsewhere.bodies("there")) == 30)
            await read(w, room, events[0])
            await until(lambda: receipts_of(w, "there") == events[:1])
            w.elsewhere.away.add("there")
            await read(w, room, events[1])
            await until(lambda: worker.deliveries.failing == 1)
            await read(w, alone, await w.master.send(alone, ALICE, "elsewhere"))
            for number in range(2, 28):
                await read(w, room, events[number], f"${number}")
            await until(lambda: worker.deliveries.lane.has("there"))
            worker.deliveries._senders["there"].retry_now()
            await until(lambda: not worker.deliveries.lane.has("there"))  # tried again in vain
            w.elsewhere.away.clear()
            while len(set(receipts_of(w, "there"))) < 28:
                for sender in worker.deliveries._senders.values():
                    sender.retry_now()
                await sleep(0.05)
            assert set(receipts_of(w, "there")) == {*events[:28]}
            assert unchanged(w)

    run(play(), 90)


def test_what_was_read_while_no_worker_ran_is_told(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            first = w.start_worker()
            room = await w.shared_room(BOB)
            event = await w.master.send(room, ALICE, "one")
            await until(lambda: w.elsewhere.bodies("there") == ["one"])
            await w.kill(first)
            await read(w, room, event)
            w.start_worker()
            await until(lambda: receipts_of(w, "there") == [event])

    run(play(), 90)


def test_receipts_that_did_not_fit_are_told_by_the_next_worker(database_url: str) -> None:
    """Though the events after them were received."""

    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker(STEADY)
            room = await w.shared_room(BOB)
            events = [await w.master.send(room, ALICE, f"m{number}") for number in range(5)]
            await until(lambda: len(w.elsewhere.bodies("there")) == 5)
            first, second, _third = gates = [Deferred[None](), Deferred[None](), Deferred[None]()]
            w.elsewhere.gates["there"] = list(gates)
            await w.master.send(room, ALICE, "under way meanwhile")
            await until(lambda: len(w.elsewhere.gates["there"]) == 2)
            for number, event_id in enumerate(events):
                await read(w, room, event_id, f"${number}")
            await w.master.send(room, ALICE, "after them")
            lane = worker.deliveries.lane
            lane.limit = 2
            await until(lambda: len(lane._waiting.get("there", ())) == 5)
            first.callback(None)
            second.callback(None)
            await until(lambda: not w.elsewhere.gates["there"])
            assert w.elsewhere.bodies("there")[-1] == "after them"
            assert receipts_of(w, "there") == events[:2]
            await w.kill(worker)
            w.start_worker()
            await until(lambda: {*receipts_of(w, "there")} == {*events})
            assert unchanged(w)

    run(play(), 90)


def test_receipts_for_which_there_is_no_room_are_read_from_the_tables(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ephemeral, "KEPT_LIMIT", 2)

    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker(STEADY)
            room = await w.shared_room(BOB)
            events = [await w.master.send(room, ALICE, f"m{number}") for number in range(5)]
            await until(lambda: len(w.elsewhere.bodies("there")) == 5)
            gate: Deferred[None] = Deferred()
            w.elsewhere.gates["there"] = [gate]
            await w.master.send(room, ALICE, "under way meanwhile")
            await until(lambda: not w.elsewhere.gates["there"])
            for number, event_id in enumerate(events):
                await read(w, room, event_id, f"${number}")
            gate.callback(None)
            await until(lambda: {*receipts_of(w, "there")} == {*events})

    run(play(), 90)


def test_news_that_are_in_no_row_yet_are_not_taken_to_be_received(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the worker die before it has noted that something waits."""
    hangs: list[bool] = []
    write = destinations.advance

    async def advance(*asked: Any) -> Any:
        if hangs:
            await Deferred()
        return await write(*asked)

    monkeypatch.setattr(destinations, "advance", advance)

    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker(STEADY)
            room = await w.shared_room(BOB)
            await w.master.send(room, ALICE, "one")
            await until(lambda: w.elsewhere.bodies("there") == ["one"])
            sender = worker.deliveries._senders["there"]
            await until(lambda: sender._is_resting)
            hangs.append(True)
            await w.master.send(room, ALICE, "two")
            pos = w.master.entries[-1].pos
            await until(lambda: worker.deliveries._sorted_to >= pos)
            assert not sender.is_noted
            moving = Deferred.fromCoroutine(worker.deliveries._move_clean())
            await sleep(0.3)
            assert not moving.called
            moving.cancel()
            moving.addErrback(lambda failure: None)
            await w.kill(worker)
            hangs.clear()
            w.start_worker()
            await until(lambda: w.elsewhere.bodies("there") == ["one", "two"])

    run(play(), 90)


@pytest.mark.parametrize("jumped", [False, True])
def test_a_server_that_comes_while_its_room_is_looked_up_is_not_overlooked(
    database_url: str, monkeypatch: pytest.MonkeyPatch, jumped: bool
) -> None:
    read: list[Any] = []
    told: Deferred[None] = Deferred()
    look_up = destinations.servers_of_rooms

    async def slowly(*asked: Any) -> Any:
        read.append(await look_up(*asked))
        if len(read) == 1:
            await told
        return read[-1]

    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker(STEADY)
            room = await w.shared_room()
            await until(lambda: read)
            assert {server for _, server in read[0]} == {SERVER}
            worker.deaf = jumped
            await w.join(room, BOB)
            if jumped:
                worker.deaf = False
                worker.pos = w.master.entries[-1].pos
                worker.deliveries.subscription().reset(worker.pos)
            told.callback(None)
            await until(lambda: "there" in w.elsewhere.transactions)
            worker.deliveries.heard(Typing(room, (ALICE,)))
            await until(lambda: len(w.elsewhere.edus("there", "m.typing")) == 1)

    monkeypatch.setattr(destinations, "servers_of_rooms", slowly)
    run(play(), 90)


def test_two_workers_share_the_servers(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            w.start_worker()
            servers = [f"s{number}" for number in range(12)]
            room = await w.shared_room(*(f"@u:{server}" for server in servers))
            for number in range(5):
                await w.master.send(room, ALICE, f"m{number}")
            wanted = [f"m{number}" for number in range(5)]
            await until(lambda: all(w.elsewhere.bodies(server) == wanted for server in servers), timeout=20)
            assert unchanged(w)

    run(play())


def test_a_server_that_is_there_again_is_tried_at_once(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker()
            w.elsewhere.away.add("there")
            room = await w.shared_room(BOB)
            await w.master.send(room, ALICE, "hello")
            await until(lambda: worker.deliveries.failing == 1)
            while not await destinations.is_failing(w.master.db, "there"):
                await sleep(0.02)
            now, background = [0.0], Background()
            signs = SignsOfLife(w.master.db, w.master, lambda: now[0], background)  # type: ignore[arg-type]
            signs.heard("there")
            await background.drained()
            assert w.elsewhere.bodies("there") == []
            w.elsewhere.away.clear()
            signs.heard("there")  # too soon: it was looked at just now
            await background.drained()
            now[0] += 20
            signs.heard("there")
            await until(lambda: w.elsewhere.bodies("there") == ["hello"], timeout=1.5)
            while (await destinations.listed(w.master.db))[0][:2] != ("there", False):  # noted after it has answered
                await sleep(0.02)

    run(play())


def test_who_has_received_all_is_not_noted_as_behind(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            first = w.start_worker()
            room = await w.shared_room(BOB)
            await w.master.send(room, ALICE, "one")
            await until(lambda: w.elsewhere.bodies("there") == ["one"])
            await w.kill(first)
            # Its row says that it was behind; nothing has come since.
            await w.master.db.execute(
                "UPDATE destinations SET is_behind = true, events_to = %s", (w.master.entries[-1].pos,)
            )
            w.start_worker()
            for _ in range(200):
                if not await destinations.behind(w.master.db):
                    break
                await sleep(0.02)
            assert await destinations.behind(w.master.db) == []

    run(play())


def test_shares_are_looked_at_again_when_the_log_jumps_meanwhile(database_url: str) -> None:
    """What is known of the shares is forgotten while they are read: the answer counts all the same, and for all."""

    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker()
            forget = worker.deliveries.subscription().reset
            read = worker.db.fetch

            async def fetch(sql: str, args: Any = ()) -> Any:
                rows = await read(sql, args)
                if "federation_shards" in sql and "SELECT" in sql:
                    worker.db.fetch = read  # type: ignore[method-assign]
                    forget(w.master.entries[-1].pos if w.master.entries else 0)
                return rows

            worker.db.fetch = fetch  # type: ignore[method-assign]
            room = await w.shared_room(BOB)
            await w.master.send(room, ALICE, "one")
            await until(lambda: w.elsewhere.bodies("there") == ["one"])

    run(play())
