"""Redactions that come before what they redact: nobody is shown them until it is here, whatever way it comes.

Spec: rooms/v3.md#handling-redactions.
"""

from itertools import count
from random import Random
from typing import Any, Final

import orjson
import pytest

from hs_common.replication import items
from hs_common.replication.entry import decode_body
from hs_common.replication.federation_calls import AdoptRoom, InsertHistory
from hs_common.replication.items import EventItem
from hs_common.storage import federated_rooms
from tests.master.graph import Graph, Node
from tests.master.harness import TestMaster, master
from tests.master.test_receiving import (
    ALICE,
    BOB,
    CAROL,
    KEYS,
    adopt,
    new_room,
    pdu,
    places,
    receive,
    receive_all,
    state_before,
    store,
)
from tests.reactor import run, sleep

DAVE: Final = "@dave:else"
"""Without power, of the server of Carol."""
CHECKED: Final = 60.0


async def rested(m: TestMaster) -> None:
    """Until no job is left."""
    for _ in range(int(CHECKED / 0.01)):
        if not await m.db.fetch("SELECT FROM jobs"):
            return
        await sleep(0.01)
    raise AssertionError("a job does not end")


def told(m: TestMaster) -> list[EventItem]:
    """What followers have heard of events, in its order."""
    decoded = [items.decode(one.kind, one.body) for entry in m.entries for one in decode_body(entry).items]
    return [one for one in decoded if isinstance(one, EventItem)]


def told_ids(m: TestMaster) -> list[str]:
    return [one.event_id for one in told(m)]


async def kept(m: TestMaster, node: Node) -> tuple[dict[str, Any], str | None]:
    """An event's content, and what redacted it."""
    row = await m.db.fetch_one("SELECT json, redacted_by FROM events WHERE event_id = %s", [node.event_id])
    assert row is not None
    return orjson.loads(row[0])["content"], row[1]


async def placed(m: TestMaster, *nodes: Node) -> list[str]:
    """Those of the events that are in the timeline, in its order."""
    rows = await m.db.fetch(
        "SELECT event_id FROM timeline WHERE event_id = ANY(%s) ORDER BY order_pos, order_sub",
        [[node.event_id for node in nodes]],
    )
    return [event_id for (event_id,) in rows]


def redaction(graph: Graph, sender: str, target: Node, *prevs: Node) -> Node:
    return graph.add(sender, "m.room.redaction", {"redacts": target.event_id}, prevs=prevs)


async def page(m: TestMaster, graph: Graph, join: Node, nodes: list[Node], next_sub: int = -1) -> None:
    """History, the newest first."""
    await m.call(
        InsertHistory(
            room_id=graph.room_id,
            before_pos=(await places(m, join))[3],
            next_sub=next_sub,
            events=[pdu(node) for node in nodes],
            state=list(nodes[-1].before.values()),
            wanted=list(nodes[-1].event.prev_event_ids),
            is_end=False,
        )
    )


def test_a_redaction_waits_and_is_told_after_what_it_redacts(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            secret = graph.send(BOB, "secret", [join])
            early = redaction(graph, BOB, secret, join)
            assert [one.status for one in await receive(m, graph, early)] == ["accepted"]
            await rested(m)
            assert early.event_id not in told_ids(m)
            assert await placed(m, early) == []
            assert [one.status for one in await receive(m, graph, early)] == ["known"]
            word = graph.send(BOB, "word", [early])  # the room goes on from it
            await receive_all(m, graph, [word])
            assert await m.db.fetch("SELECT FROM room_fork") == []
            await receive_all(m, graph, [secret])
            await rested(m)
            assert told_ids(m)[-3:] == [word.event_id, secret.event_id, early.event_id]
            at_once, later = told(m)[-2:]
            assert b"secret" not in at_once.json
            assert at_once.redacted_by == early.event_id
            assert (later.redacted, later.changes, later.introduced) == ([], [], False)
            assert await kept(m, secret) == ({}, early.event_id)
            assert await placed(m, word, secret, early) == [word.event_id, secret.event_id, early.event_id]
            assert await m.db.fetch("SELECT FROM held_redactions") == []
            assert await state_before(m, graph.room_id, early.event_id) == early.before
            newest = await federated_rooms.extremities(m.db, graph.room_id)
            assert set(newest) == {word.event_id, secret.event_id}
            ours = await m.send(graph.room_id, ALICE, "hello")
            (row,) = await m.db.fetch("SELECT json FROM events WHERE event_id = %s", [ours])
            assert set(orjson.loads(row[0])["prev_events"]) == {word.event_id, secret.event_id}

    run(play())


def test_who_takes_over_does_not_take_what_waited_for_the_newest_event(database_url: str) -> None:
    async def play() -> None:
        graph, join = new_room()
        secret = graph.send(BOB, "secret", [join])
        early = redaction(graph, BOB, secret, join)
        async with master(database_url) as m:
            await adopt(m, graph, join)
            await receive_all(m, graph, [early, secret])
            await rested(m)
        async with master(database_url) as m:
            assert await federated_rooms.extremities(m.db, graph.room_id) == [secret.event_id]
            ours = await m.send(graph.room_id, ALICE, "hello")
            (row,) = await m.db.fetch("SELECT json FROM events WHERE event_id = %s", [ours])
            assert orjson.loads(row[0])["prev_events"] == [secret.event_id]

    run(play())


def test_what_the_leader_before_has_left_is_shown_by_the_next(database_url: str) -> None:
    async def play() -> None:
        graph, join = new_room()
        secret = graph.send(BOB, "secret", [join])
        early = redaction(graph, BOB, secret, join)
        async with master(database_url) as m:
            await adopt(m, graph, join)
            await receive_all(m, graph, [early])
            await rested(m)
            m.jobs.stop()
            await receive_all(m, graph, [secret])
            assert await placed(m, early) == []
        async with master(database_url) as m:
            await rested(m)
            assert told_ids(m) == [early.event_id]

    run(play())


@pytest.mark.parametrize("version", ["1", "6", "11"])
def test_who_may_not_redact_is_never_shown(database_url: str, version: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room(version)
            await adopt(m, graph, join)
            entry = graph.join(DAVE, [join])
            word = graph.send(BOB, "word", [join])
            his = graph.send(CAROL, "mine", [join])
            more = {} if version == "11" else {"redacts": word.event_id}
            in_vain = graph.add(DAVE, "m.room.redaction", {"redacts": word.event_id}, prevs=[entry], **more)
            more = {} if version == "11" else {"redacts": his.event_id}
            by_server = graph.add(DAVE, "m.room.redaction", {"redacts": his.event_id}, prevs=[entry], **more)
            await receive_all(m, graph, [entry, in_vain, by_server, word, his])
            await rested(m)
            assert (await kept(m, word))[1] is None
            assert await placed(m, in_vain) == []
            assert await m.db.fetch("SELECT FROM held_redactions") == []
            # Before version 3 the authorisation rules say so themselves, by the server of the event's id.
            assert await kept(m, his) == ({}, by_server.event_id)
            assert told_ids(m)[-1] == by_server.event_id

    run(play())


def test_the_power_is_that_of_when_the_redaction_came(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            word = graph.send(BOB, "word", [join])
            other = graph.send(BOB, "other", [join])
            rightly = redaction(graph, CAROL, word, join)
            demoted = graph.add(BOB, "m.room.power_levels", {"users": {}}, "", prevs=[join])
            wrongly = redaction(graph, CAROL, other, join)  # as if she had not heard of it
            await receive_all(m, graph, [rightly, demoted, wrongly, word, other])
            await rested(m)
            assert await kept(m, word) == ({}, rightly.event_id)
            assert (await kept(m, other))[1] is None
            assert await placed(m, rightly, wrongly) == [rightly.event_id]

    run(play())


def test_a_redaction_of_what_waits_waits_too(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            secret = graph.send(BOB, "secret", [join])
            first = graph.add(BOB, "m.room.redaction", {"redacts": secret.event_id, "reason": "x"}, prevs=[join])
            second = redaction(graph, BOB, first, join)
            await receive_all(m, graph, [second, first])
            await rested(m)
            assert await placed(m, first, second) == []
            await receive_all(m, graph, [secret])
            await rested(m)
            assert told_ids(m)[-3:] == [secret.event_id, first.event_id, second.event_id]
            assert told(m)[-1].redacted == [first.event_id]
            assert await kept(m, secret) == ({}, first.event_id)
            assert await kept(m, first) == ({"redacts": secret.event_id}, second.event_id)

    run(play())


def test_what_comes_as_mere_state_is_redacted_and_stays_so(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            topic = graph.add(BOB, "m.room.topic", {"topic": "secret"}, "", prevs=[join])
            early = redaction(graph, BOB, topic, join)
            await receive_all(m, graph, [early])
            await store(m, graph, [topic])
            await rested(m)
            assert await kept(m, topic) == ({}, early.event_id)
            assert told_ids(m)[-1] == early.event_id
            await receive_all(m, graph, [topic])  # its place is known only now
            await rested(m)
            assert await kept(m, topic) == ({}, early.event_id)
            assert told_ids(m).count(early.event_id) == 1
            assert told(m)[-1].redacted_by == early.event_id

    run(play())


def test_what_comes_with_a_join_is_redacted(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            topic = graph.add(BOB, "m.room.topic", {"topic": "secret"}, "", prevs=[join])
            early = redaction(graph, BOB, topic, join)
            leave = graph.add(ALICE, "m.room.member", {"membership": "leave"}, ALICE, prevs=[join])
            await receive_all(m, graph, [early, leave])
            await store(m, graph, [topic])  # nobody is in the room by then
            await rested(m)
            assert await placed(m, early) == []
            again = graph.join(ALICE, [leave, topic])
            state = list(again.before.values())
            await m.call(AdoptRoom(room_id=graph.room_id, room_version="12", event=pdu(again), state=state))
            await rested(m)
            assert told_ids(m)[-2:] == [again.event_id, early.event_id]
            assert await kept(m, topic) == ({}, early.event_id)

    run(play())


def test_among_history_a_redaction_gets_the_place_that_was_kept(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, _ = new_room()
            newest = list(graph.nodes.values())[-2]
            secret = graph.send(BOB, "secret", [newest])
            word = graph.send(BOB, "word", [secret])
            first = redaction(graph, BOB, secret, word)
            last = graph.send(BOB, "last", [first])
            join = graph.join("@dora:test", [last])
            await adopt(m, graph, join)
            await page(m, graph, join, [last, first])
            await rested(m)
            assert await placed(m, first, last) == [last.event_id]
            live = redaction(graph, BOB, word, join)  # it waits for history as well
            await receive_all(m, graph, [live])
            await page(m, graph, join, [word, secret], next_sub=-3)
            await rested(m)
            assert await placed(m, secret, word, first, last) == [n.event_id for n in (secret, word, first, last)]
            assert await kept(m, secret) == ({}, first.event_id)
            assert await kept(m, word) == ({}, live.event_id)
            assert told_ids(m)[-2:] == [join.event_id, live.event_id]
            assert await m.db.fetch("SELECT FROM held_redactions") == []

    run(play())


def test_a_page_of_history_is_redacted_by_itself(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, _ = new_room()
            newest = list(graph.nodes.values())[-2]
            entry = graph.join(DAVE, [newest])
            secret = graph.send(BOB, "secret", [entry])
            first = redaction(graph, BOB, secret, secret)
            in_vain = redaction(graph, DAVE, entry, first)
            word = graph.send(BOB, "word", [in_vain])
            wrong = redaction(graph, DAVE, word, word)
            join = graph.join("@dora:test", [wrong])
            await adopt(m, graph, join)
            await page(m, graph, join, [wrong, word, in_vain, first, secret, entry])
            await rested(m)
            assert await kept(m, secret) == ({}, first.event_id)
            assert (await kept(m, word))[1] is None
            shown = [node.event_id for node in (entry, secret, first, in_vain, word)]
            assert await placed(m, *graph.nodes.values()) == [*shown, join.event_id]

    run(play())


def test_history_redacts_what_is_here_already_and_that_is_told(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            secret = graph.send(BOB, "secret", [join])
            await receive_all(m, graph, [secret])
            missed = redaction(graph, BOB, secret, secret)
            after = graph.send(BOB, "after", [missed])
            state = list(after.before.values())
            (verdict,) = await receive(m, graph, after, state=state)  # over a gap
            assert verdict.status == "accepted"
            await page(m, graph, after, [missed])
            await rested(m)
            assert await kept(m, secret) == ({}, missed.event_id)
            assert told_ids(m)[-2:] == [after.event_id, missed.event_id]
            assert told(m)[-1].redacted == [secret.event_id]

    run(play())


def test_a_redaction_that_was_shown_before_such_waited_takes_effect(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            secret = graph.send(BOB, "secret", [join])
            topic = graph.add(BOB, "m.room.topic", {"topic": "secret"}, "", prevs=[join])
            word = graph.send(BOB, "word", [join])
            shown = [redaction(graph, CAROL, target, join) for target in (secret, topic)]
            await receive_all(m, graph, [word])
            for number, (target, one) in enumerate(zip((secret, topic), shown, strict=True)):
                for statement in (
                    "INSERT INTO events SELECT %(id)s, room_id, pos + 1, 0, NULL, NULL, %(json)s FROM events "
                    "WHERE event_id = %(word)s",
                    "INSERT INTO timeline SELECT room_id, order_pos, %(number)s, %(id)s, sender, 'm.room.redaction', "
                    "NULL, origin_server_ts, NULL, 0, state_pos, NULL, NULL, NULL FROM timeline "
                    "WHERE event_id = %(word)s",
                    "INSERT INTO held_redactions SELECT %(target)s, event_id, room_id FROM events "
                    "WHERE event_id = %(id)s",
                ):
                    values = {"id": one.event_id, "json": one.encoded.decode(), "word": word.event_id}
                    await m.db.execute(statement, {**values, "target": target.event_id, "number": number + 1})
            await receive_all(m, graph, [secret])
            await store(m, graph, [topic])
            await rested(m)
            assert (await kept(m, secret), await kept(m, topic)) == (
                ({}, shown[0].event_id),
                ({}, shown[1].event_id),
            )
            assert told_ids(m)[-1] == secret.event_id
            assert await m.db.fetch("SELECT FROM held_redactions") == []

    run(play())


def test_whatever_the_order_the_end_is_the_same(database_url: str) -> None:
    """Events, redactions of them by who may and who may not, and redactions of redactions, in any order and way."""
    random = Random(5)

    async def play() -> None:
        async with master(database_url) as m:
            for number in range(20):
                graph, join = _room_of(number)
                await adopt(m, graph, join)
                entry = graph.join(DAVE, [join])
                await receive_all(m, graph, [entry])
                word, mine = graph.send(BOB, "word", [entry]), graph.send(CAROL, "mine", [entry])
                topic = graph.add(BOB, "m.room.topic", {"topic": "x"}, "", prevs=[entry])
                rightly = [redaction(graph, BOB, word, entry), redaction(graph, DAVE, mine, entry)]
                rightly.append(redaction(graph, CAROL, topic, entry))
                rightly.append(redaction(graph, BOB, rightly[1], entry))
                wrongly = [redaction(graph, DAVE, topic, entry)]
                nodes = [word, mine, topic, *rightly, *wrongly]
                random.shuffle(nodes)
                for node in nodes:
                    if node is topic and random.random() < 0.5:
                        await store(m, graph, [node])
                    await receive_all(m, graph, [node])
                    if random.random() < 0.3:
                        await rested(m)
                await rested(m)
                heard = [one for one in told_ids(m) if one in {node.event_id for node in nodes}]
                assert sorted(heard) == sorted({node.event_id for node in nodes} - {wrongly[0].event_id}), number
                for node in rightly:
                    target = node.event.redacts or ""
                    is_stored = target == topic.event_id
                    assert is_stored or heard.index(target) < heard.index(node.event_id), number
                assert (await kept(m, word), await kept(m, mine)) == (
                    ({}, rightly[0].event_id),
                    ({}, rightly[1].event_id),
                )
                assert await kept(m, topic) == ({}, rightly[2].event_id)
                assert (await kept(m, rightly[1]))[1] == rightly[3].event_id
                assert await m.db.fetch("SELECT FROM held_redactions") == []

    run(play())


def _room_of(number: int) -> tuple[Graph, Node]:
    """As `new_room`, another room for each number."""
    graph = Graph("12", KEYS)
    graph._ticks = count(1000 * number)
    newest = graph.join(BOB, [graph.create(BOB)])
    newest = graph.add(BOB, "m.room.power_levels", {"users": {CAROL: 50}}, "", prevs=[newest])
    newest = graph.add(BOB, "m.room.join_rules", {"join_rule": "public"}, "", prevs=[newest])
    return graph, graph.join(ALICE, [graph.join(CAROL, [newest])])
