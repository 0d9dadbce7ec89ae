"""Redactions by users of other servers: which of them count, and that nobody is shown the others.

Spec: rooms/v3.md#handling-redactions.
"""

from typing import Final

from hs_common.replication.federation_calls import InsertHistory
from tests.master.harness import master
from tests.master.test_receiving import BOB, adopt, new_room, pdu, places, receive, receive_all
from tests.reactor import run

DAVE: Final = "@dave:else"
"""Without power, as opposed to Bob."""


def test_redactions_that_come_first_are_held(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            secret = graph.send(BOB, "secret", [join])
            entry = graph.join(DAVE, [join])
            await receive_all(m, graph, [entry])
            by_a_stranger = graph.add(DAVE, "m.room.redaction", {"redacts": secret.event_id}, prevs=[entry])
            redaction = graph.add(BOB, "m.room.redaction", {"redacts": secret.event_id}, prevs=[by_a_stranger])
            await receive_all(m, graph, [by_a_stranger, redaction])
            await receive_all(m, graph, [secret])
            row = await m.db.fetch_one("SELECT json, redacted_by FROM events WHERE event_id = %s", [secret.event_id])
            assert row is not None
            assert "secret" not in row[0]
            assert row[1] == redaction.event_id

    run(play())


def test_history_that_was_redacted_before_it_came_stays_so(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, _ = new_room()
            newest = list(graph.nodes.values())[-2]
            secret = graph.send(BOB, "secret", [newest])
            word = graph.send(BOB, "a word", [secret])
            join = graph.join("@dora:test", [word])
            await adopt(m, graph, join)
            entry = graph.join(DAVE, [join])
            in_vain = graph.add(DAVE, "m.room.redaction", {"redacts": word.event_id}, prevs=[entry])
            redaction = graph.add(BOB, "m.room.redaction", {"redacts": secret.event_id}, prevs=[in_vain])
            await receive_all(m, graph, [entry, in_vain, redaction])
            page = InsertHistory(
                room_id=graph.room_id,
                before_pos=(await places(m, join))[3],
                next_sub=-1,
                events=[pdu(word), pdu(secret)],
                state=list(secret.before.values()),
                wanted=[],
                is_end=True,
            )
            await m.call(page)
            rows = await m.db.fetch(
                "SELECT event_id, json, redacted_by FROM events WHERE event_id = ANY(%s)",
                [[secret.event_id, word.event_id]],
            )
            kept = {event_id: (json, redacted_by) for event_id, json, redacted_by in rows}
            assert "secret" not in kept[secret.event_id][0]
            assert kept[secret.event_id][1] == redaction.event_id
            assert "a word" in kept[word.event_id][0]
            assert kept[word.event_id][1] is None

    run(play())


def test_redactions_without_the_right_are_shown_to_nobody(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            word = graph.send(BOB, "word", [join])
            entry = graph.join(DAVE, [word])
            await receive_all(m, graph, [word, entry])
            forbidden = graph.add(DAVE, "m.room.redaction", {"redacts": word.event_id}, prevs=[entry])
            (verdict,) = await receive(m, graph, forbidden)
            assert verdict.status == "soft_failed"
            after = graph.send(BOB, "after", [forbidden])
            await receive_all(m, graph, [after])
            rows = await m.db.fetch("SELECT event_id, json FROM events WHERE redacted_by IS NOT NULL")
            assert rows == []
            assert await m.db.fetch("SELECT FROM room_fork") == []  # what went on from it is the one newest event
            shown = await m.db.fetch("SELECT event_id FROM timeline WHERE event_id = %s", [forbidden.event_id])
            assert shown == []

    run(play())


def test_redactions_by_others_of_the_same_server_count(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            helper = "@helper:" + BOB.partition(":")[2]
            entry = graph.join(helper, [join])
            word = graph.send(BOB, "word", [entry])
            redaction = graph.add(helper, "m.room.redaction", {"redacts": word.event_id}, prevs=[word])
            await receive_all(m, graph, [entry, word, redaction])
            row = await m.db.fetch_one("SELECT redacted_by FROM events WHERE event_id = %s", [word.event_id])
            assert row == (redaction.event_id,)

    run(play())
