"""When the writer runs: at once for who asks alone, with a moment's wait for those who ask again under load."""

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_master.pipeline.loop import GATHER_S, LOAD, WriterLoop


class Writer:
    """Takes what waits in batches; notes how large each was."""

    def __init__(self) -> None:
        self.waiting = 0
        self.last_batch = 0
        self.batches: list[int] = []

    async def run_once(self) -> bool:
        self.last_batch, self.waiting = self.waiting, 0
        if self.last_batch:
            self.batches.append(self.last_batch)
        return self.last_batch > 0


def started() -> tuple[Clock, Writer, WriterLoop]:
    clock, writer = Clock(), Writer()
    loop = WriterLoop(clock, lambda name, work: cast(None, Deferred.fromCoroutine(work)))
    loop.start(cast(Any, writer))
    clock.advance(0)
    return clock, writer, loop


def test_who_asks_alone_waits_for_nothing() -> None:
    clock, writer, loop = started()
    for _ in range(3):
        writer.waiting = 1
        loop.wake()
        clock.advance(0)
    assert writer.batches == [1, 1, 1]
    assert clock.getDelayedCalls() == []


def test_under_load_a_batch_waits_for_those_who_ask_again() -> None:
    clock, writer, loop = started()
    writer.waiting = LOAD
    loop.wake()
    clock.advance(0)
    writer.waiting = 1
    loop.wake()
    clock.advance(GATHER_S / 2)
    writer.waiting += 2
    assert writer.batches == [LOAD]
    clock.advance(GATHER_S)
    assert writer.batches == [LOAD, 3]
    assert clock.getDelayedCalls() == []
