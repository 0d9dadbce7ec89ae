"""What changed is settled: one run at a time, none forgotten, again after a failure."""

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from hs_common.process.settling import RETRY_S, Settling
from hs_common.storage.queries import DatabaseUnavailable


class Runs:
    """Runs that end as told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.runs: list[Deferred[None]] = []
        self.settling = Settling(self.clock, self._background, "things", self._settle)

    def _background(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        assert name == "things"
        Deferred.fromCoroutine(coroutine)

    async def _settle(self) -> None:
        run: Deferred[None] = Deferred()
        self.runs.append(run)
        await run


def test_changes_during_a_run_are_met_by_one_more() -> None:
    one = Runs()
    for _ in range(3):
        one.settling.changed()
    assert len(one.runs) == 1
    assert not one.settling.is_settled
    one.runs[0].callback(None)
    assert len(one.runs) == 2
    one.runs[1].callback(None)
    assert len(one.runs) == 2
    assert one.settling.is_settled


@pytest.mark.parametrize("fault", [DatabaseUnavailable("08006", "it is away"), ValueError("a bug")])
def test_a_failure_is_said_and_tried_again(fault: Exception) -> None:
    one = Runs()
    one.settling.changed()
    with capturedLogs() as logs:
        one.runs[0].errback(fault)
    assert len(logs) == 1
    assert (len(one.runs), one.settling.is_settled) == (1, False)
    one.clock.advance(RETRY_S)
    assert len(one.runs) == 2
    one.runs[1].callback(None)
    assert one.settling.is_settled


def test_nothing_begins_after_a_stop() -> None:
    one = Runs()
    one.settling.changed()
    one.settling.changed()
    one.settling.stop()
    one.runs[0].callback(None)
    one.settling.changed()
    assert len(one.runs) == 1
