"""What a writer does with its knowledge when a doubt ends: it goes on only over the very log that it knows."""

from typing import Any, cast

import pytest

from hs_common.replication.calls import Answer, SetAccountData
from hs_common.replication.entry import Entry
from hs_common.replication.items import AliasItem
from hs_master.log_store.types import AnswerKind, Batch, Doubt, Leadership, Resolved
from hs_master.pipeline.costs import Costs
from hs_master.pipeline.pending import NotLeading, PendingCall
from hs_master.pipeline.writer import Writer
from hs_master.step import Knowledge, Step

HEAD = 10


class OneCall:
    """An intake with one call, decided by adding an item."""

    def __init__(self) -> None:
        call = SetAccountData(user_id="@a:test", type="t", content=b"{}")
        self.call = PendingCall(call, "queue", None, AnswerKind.CALL, False)
        self.outcome: list[Any] = []
        self.call.wait().addBoth(self.outcome.append)
        self.is_active = False
        self.closed = False
        self.costs = Costs()

    def take(self) -> list[PendingCall]:
        return [self.call]

    def decide(self, call: PendingCall, step: Step) -> Answer:
        return Answer(pos=step.item(AliasItem("#a:test", "!r")))

    def release(self, calls: list[PendingCall]) -> None:
        assert calls == [self.call]

    def close(self, error: Exception) -> None:
        self.closed = True


class DoubtfulLog:
    """A log in which the first commit is in doubt and every other one succeeds."""

    async def commit(self, batch: Batch) -> Doubt:
        return Doubt("the connection broke")


def writer_of(intake: OneCall, resolved: Resolved, published: list[Entry], deposed: list[bool]) -> Writer:
    async def resolve(batch: Batch) -> Resolved:
        return resolved

    return Writer(
        cast(Any, DoubtfulLog()),
        Leadership(1, HEAD + 1, HEAD, 1),
        cast(Any, intake),
        Knowledge(),
        publish=published.append,
        resolve_doubt=resolve,
        now_ms=lambda: 0,
        seconds=lambda: 0.0,
        new_batch_id=lambda: "batch",
        on_new_epoch=lambda leadership: None,
        on_deposed=lambda: deposed.append(True),
    )


def run(resolved: Resolved) -> tuple[OneCall, list[Entry], list[bool]]:
    intake, published, deposed = OneCall(), list[Entry](), list[bool]()
    running = writer_of(intake, resolved, published, deposed).run_once()
    with pytest.raises(StopIteration):
        running.send(None)
    return intake, published, deposed


def test_goes_on_over_the_log_that_it_knows() -> None:
    intake, published, deposed = run(Resolved(True, Leadership(2, 50, HEAD + 1, 1)))
    assert intake.outcome == [Answer(pos=HEAD + 1)]
    assert [entry.pos for entry in published] == [HEAD + 1]
    assert deposed == []


@pytest.mark.parametrize("head", [HEAD - 1, HEAD + 5], ids=["a fail-over lost entries", "others have written"])
@pytest.mark.parametrize("committed", [False, True])
def test_begins_a_new_term_over_another_log(head: int, committed: bool) -> None:
    intake, published, deposed = run(Resolved(committed, Leadership(2, 50, head, 1)))
    intake.outcome[0].trap(NotLeading)
    assert published == []
    assert deposed == [True]
    assert intake.closed
