"""Background work is named, logged, counted and waited for."""

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import capturedLogs

from hs_common.process.background import Background


async def wait_for(work: Deferred[None]) -> None:
    await work


async def fail() -> None:
    raise RuntimeError("broken")


def test_it_is_counted_while_it_runs() -> None:
    background = Background()
    first: Deferred[None] = Deferred()
    second: Deferred[None] = Deferred()
    background("sweep", wait_for(first))
    background("sweep", wait_for(second))
    assert background.running() == {"sweep": 2}
    drained = ensureDeferred(background.drained())
    first.callback(None)
    assert not drained.called
    second.callback(None)
    assert drained.called
    assert background.running() == {}
    assert background.started == {"sweep": 2}


def test_a_failure_is_logged_and_counted_and_stops_nothing() -> None:
    background = Background()
    with capturedLogs() as logs:
        background("sweep", fail())
    assert [event["name"] for event in logs] == ["sweep"]
    assert "broken" in logs[0]["log_failure"].getErrorMessage()
    assert background.failed == {"sweep": 1}
    assert ensureDeferred(background.drained()).called


def test_cancelling_is_no_failure() -> None:
    background = Background()
    with capturedLogs() as logs:
        background("poll", wait_for(Deferred()))
        background("poll", wait_for(Deferred()))
        background.cancel()
    assert logs == []
    assert background.failed == {}
    assert background.running() == {}


def test_work_that_starts_other_work_is_waited_for_as_well() -> None:
    background = Background()
    first: Deferred[None] = Deferred()
    second: Deferred[None] = Deferred()

    async def chain() -> None:
        await first
        background("second", wait_for(second))

    background("first", chain())
    drained = ensureDeferred(background.drained())
    first.callback(None)
    assert not drained.called
    second.callback(None)
    assert drained.called


def test_each_waiter_is_told_and_one_that_gives_up_changes_nothing() -> None:
    background = Background()
    work: Deferred[None] = Deferred()
    background("sweep", wait_for(work))
    impatient = ensureDeferred(background.drained())
    impatient.addErrback(lambda failure: None)
    impatient.cancel()
    first, second = ensureDeferred(background.drained()), ensureDeferred(background.drained())
    assert not first.called
    work.callback(None)
    assert first.called
    assert second.called
