"""Calls that clients repeat: answered as they were, whether or not that was thought likely, and others with them."""

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from hs_common.matrix.errors import MatrixError, limit_exceeded
from hs_common.replication.calls import Answer, AppendEvents, Intent
from hs_common.replication.keys import client_key
from hs_master.log_store.postgres import PostgresLogStore
from hs_master.pipeline.intake import Intake
from hs_master.pipeline.repeats import CAUTIOUS_S, REMEMBERED_LIMIT, Repeats
from tests.master.harness import TestMaster, master
from tests.reactor import run

ALICE = "@alice:test"


def key_of(number: int) -> bytes:
    return client_key(ALICE, "DEVICE", "PUT", "/send", f"{number}")


async def say(m: TestMaster, room_id: str, number: int) -> Answer:
    """Alice's message with a transaction id."""
    content = {"msgtype": "m.text", "body": f"{number}"}
    return await m.call(
        AppendEvents(intents=[Intent(room_id=room_id, sender=ALICE, type="m.room.message", content=content)]),
        key_of(number),
    )


async def together(m: TestMaster, room_id: str, numbers: Sequence[int]) -> list[Any]:
    """In one batch."""
    return await gatherResults([Deferred.fromCoroutine(say(m, room_id, number)) for number in numbers])


async def messages(m: TestMaster) -> int:
    return len(await m.db.fetch("SELECT 1 FROM timeline WHERE type = 'm.room.message'"))


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many keys each look-up had."""
    counts: list[int] = []
    answers = PostgresLogStore.answers

    async def counted(self: PostgresLogStore, keys: Sequence[bytes]) -> Any:
        counts.append(len(keys))
        return await answers(self, keys)

    monkeypatch.setattr(PostgresLogStore, "answers", counted)
    return counts


@pytest.mark.parametrize("likely", [True, False])
def test_a_repeat_gets_the_first_answer_and_others_of_its_batch_get_theirs(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, likely: bool
) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room_id = await m.create_room(ALICE)
            monkeypatch.setattr(Repeats, "is_likely", lambda self, key: likely)
            first = await together(m, room_id, range(10))
            again = await together(m, room_id, [*range(20, 24), 3, 7, *range(24, 28)])
            assert again[4:6] == [first[3], first[7]]
            assert len({answer.event_ids[0] for answer in (*first, *again)}) == await messages(m) == 18
            assert await m.db.fetch("SELECT 1 FROM refused_items") == []

    run(play())


def test_what_is_refused_now_was_perhaps_done_before(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Intake.decide
    busy: list[bool] = []

    def refusing(self: Intake, *args: Any) -> Answer:
        if busy:
            raise limit_exceeded(1000)
        return decide(self, *args)

    async def play() -> None:
        async with master(database_url) as m:
            room_id = await m.create_room(ALICE)
            monkeypatch.setattr(Repeats, "is_likely", lambda self, key: False)
            first = await say(m, room_id, 1)
            monkeypatch.setattr(Intake, "decide", refusing)
            busy.append(True)
            assert await say(m, room_id, 1) == first
            with pytest.raises(MatrixError, match="M_LIMIT_EXCEEDED"):
                await say(m, room_id, 2)
            busy.clear()
            assert await say(m, room_id, 2) != first
            assert await messages(m) == 2

    run(play())


def test_nothing_is_looked_up_for_new_messages_and_everything_after_a_surprise(
    database_url: str, monkeypatch: pytest.MonkeyPatch, looked_up: list[int]
) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room_id = await m.create_room(ALICE)
            monkeypatch.setattr("hs_master.pipeline.repeats.CAUTIOUS_S", 60.0)
            repeats = m.writer._repeats
            repeats._cautious_until = 0.0
            await together(m, room_id, range(5))
            assert looked_up == []
            await say(m, room_id, 2)  # answered lately
            assert looked_up == [1]
            repeats._answered.clear()
            await together(m, room_id, [10, 11, 4])
            assert looked_up == [1, 3]  # after it was tried in vain
            await together(m, room_id, [12, 13])
            assert looked_up == [1, 3, 2]
            assert await messages(m) == 9

    run(play())


def test_a_term_begins_with_care_and_remembers_the_newest() -> None:
    now = [100.0]
    repeats = Repeats(lambda: now[0])
    assert repeats.is_likely(b"any")
    now[0] += CAUTIOUS_S
    assert not repeats.is_likely(b"any")
    repeats.met()
    assert repeats.is_likely(b"any")
    now[0] += CAUTIOUS_S
    for number in range(REMEMBERED_LIMIT + 1):
        repeats.answered(b"%d" % number)
    assert not repeats.is_likely(b"0")
    assert repeats.is_likely(b"1")
    assert repeats.is_likely(b"%d" % REMEMBERED_LIMIT)
