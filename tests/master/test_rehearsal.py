"""Calls that end the process that decides them are found in copies of it; nobody else is refused."""

import ctypes
import faulthandler
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import AppendEvents, Intent
from hs_master import copied_process
from hs_master.copied_process import CopiedProcess
from hs_master.log_store.types import AnswerKind
from hs_master.pipeline.pending import PendingCall, Terms
from hs_master.pipeline.rehearsal import Rehearsal, Steps
from hs_master.pipeline.writer import ENDS_THE_MASTER
from hs_master.rooms.compose import Composer
from tests.master.harness import TestMaster, master
from tests.reactor import reactor, run


def segfault() -> None:
    faulthandler.disable()  # its dump among the tests' output would look like a fault
    ctypes.string_at(0)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raises() -> None:
    raise RuntimeError("no end")


def hang() -> None:
    time.sleep(60)


def nothing() -> None:
    return None


@pytest.mark.parametrize(
    ("steps", "ended_at"),
    [
        ([], None),
        ([nothing, raises, nothing], None),
        ([nothing, raises, segfault, nothing], 2),
        ([killed, nothing], 0),
        ([nothing] * 600 + [killed], 600),
        ([nothing, hang], 1),
    ],
)
def test_a_copy_shows_which_step_ends_it(
    steps: Sequence[Callable[[], None]], ended_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copied_process, "STEP_LIMIT_S", 0.5)
    copies, fork = [], os.fork

    def counted() -> int:
        copies.append(fork())
        return copies[-1]

    monkeypatch.setattr(os, "fork", counted)
    assert run(CopiedProcess(reactor).rehearse(steps)) == ended_at
    (copy,) = copies
    with pytest.raises(ChildProcessError):
        os.waitpid(copy, os.WNOHANG)  # it is not left


def test_nothing_of_a_copy_is_left() -> None:
    seen: list[int] = []
    assert run(CopiedProcess(reactor).rehearse([lambda: seen.append(1)])) is None
    assert seen == []


def test_without_a_copy_nobody_is_suspected(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    assert run(CopiedProcess(reactor).rehearse([segfault])) is None


class Stage:
    """Rehearses on paper. `mishaps`: rehearsals by number whose copy is ended by others, at its first step."""

    def __init__(self, fatal: set[int], fatal_together: set[int], mishaps: set[int]) -> None:
        self._fatal, self._together, self._mishaps = fatal, fatal_together, mishaps
        self.rehearsed = 0

    def steps_of(self, calls: Sequence[PendingCall]) -> Steps:
        return [*(cast(Any, call) for call in calls), cast(Any, list(calls))]

    async def rehearse(self, steps: Steps) -> int | None:
        self.rehearsed += 1
        if self.rehearsed in self._mishaps:
            return 0
        *calls, last = cast(Any, steps)
        if (found := next((n for n, call in enumerate(calls) if call in self._fatal), None)) is not None:
            return found
        return len(calls) if self._together.intersection(last) else None


numbers = st.sets(st.integers(0, 30), max_size=4)


@given(st.integers(1, 30), numbers, numbers, st.integers(0, 40))
def test_exactly_what_is_fatal_is_found(count: int, fatal: set[int], together: set[int], mishap: int) -> None:
    stage = Stage(fatal, together, {mishap} if not fatal | together else set())
    finding = Rehearsal(stage.rehearse, stage.steps_of).fatal(cast(Any, list(range(count))))
    with pytest.raises(StopIteration) as found:
        finding.send(None)
    assert set(found.value.value) == (fatal | together) & set(range(count))


class FatalComposer(Composer):
    """Does not survive one event."""

    def compose(self, *arguments: Any, **more: Any) -> Any:
        if any(isinstance(one, Intent) and one.content.get("body") == "fatal" for one in arguments):
            segfault()
        return super().compose(*arguments, **more)


def test_a_fatal_call_is_refused_and_the_others_are_done(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.master.harness.Composer", FatalComposer)

    async def scenario(m: TestMaster) -> None:
        room_id = await m.create_room("@a:test")

        async def send(body: str, losses: int) -> Any:
            intent = Intent(room_id=room_id, sender="@a:test", type="m.room.message", content={"body": body})
            terms = Terms(origin="@a:test", losses=losses)
            try:
                return await m.desk.call(AppendEvents(intents=[intent]), body.encode().ljust(16), terms=terms)
            except MatrixError as error:
                return error.error

        assert (await send("before", losses=7)).event_ids
        assert await send("fatal", losses=1) == ENDS_THE_MASTER
        assert (await send("after", losses=1)).event_ids
        assert await send("fatal", losses=0) == ENDS_THE_MASTER  # he is known now
        refused = await m.db.fetch("SELECT message FROM refused_items")
        assert refused == [(ENDS_THE_MASTER,)] * 2

    async def play() -> None:
        async with master(database_url, rehearse=CopiedProcess(reactor).rehearse) as m:
            await scenario(m)

    run(play(), timeout=60)


def test_a_call_without_losses_is_no_suspect() -> None:
    call = AppendEvents(intents=[])
    suspects = [PendingCall(call, "", None, AnswerKind.CALL, False, Terms(losses=n)).is_suspect for n in (0, 1, 9)]
    assert suspects == [False, True, True]
