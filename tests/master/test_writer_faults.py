"""What the writer does when something happens that must not happen."""

from typing import Any

import pytest

from hs_common.replication.calls import AppendEvents, Intent
from hs_common.replication.keys import call_key
from hs_common.replication.link_server import LeaderElsewhere
from hs_master.log_store import encoding
from hs_master.pipeline.intake import Intake
from hs_master.pipeline.pending import PendingCall
from hs_master.pipeline.writer import MAXIMUM_ATTEMPTS
from hs_master.step import Step
from tests.master.harness import master
from tests.reactor import run

ALICE = "@alice:test"


def test_a_bug_while_writing_ends_the_term_and_leaves_nobody_waiting(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)

            def broken(*arguments: object) -> str:
                raise TypeError("a bug")

            monkeypatch.setattr(encoding, "transaction", broken)
            with pytest.raises(LeaderElsewhere):
                await m.send(room, ALICE, "into the bug")
            with pytest.raises(LeaderElsewhere):
                await m.send(room, ALICE, "after it")

    run(play())


def test_a_call_that_its_own_repeat_overtook_gets_the_same_answer(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            key = call_key(b"k" * 16)
            intent = Intent(room_id=room, sender=ALICE, type="m.room.message", content={"body": "once"})
            first = await m.call(AppendEvents(intents=[intent]), key)
            late = await m.call(AppendEvents(intents=[intent]), key)  # a worker's key: not looked up beforehand
            assert late == first
            assert await m.db.fetch("SELECT 1 FROM refused_items") == []
            assert len(await m.db.fetch("SELECT 1 FROM timeline WHERE type = 'm.room.message'")) == 1

    run(play())


def test_a_room_that_is_dropped_from_memory_again_and_again_is_read_again_each_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between taking a call and deciding on it others may need the memory, as while a copy of the process tries it."""
    dropped: list[object] = []
    decide = Intake.decide

    def late(intake: Intake, call: PendingCall, step: Step) -> Any:
        if isinstance(call.call, AppendEvents) and len(dropped) <= 2 * MAXIMUM_ATTEMPTS:
            dropped.append(intake._knowledge.heads.pop(call.call.intents[0].room_id))
        return decide(intake, call, step)

    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            monkeypatch.setattr(Intake, "decide", late)
            assert await m.send(room, ALICE, "at last")
            assert len(dropped) > 2 * MAXIMUM_ATTEMPTS

    run(play())
