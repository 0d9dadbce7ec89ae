"""The work of a share: steps until it is given up, whatever the database does, and a request under way may end."""

from collections.abc import Awaitable, Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from hs_common.process.share_work import DATABASE_RETRY_S, FAULT_RETRY_S, STOP_LIMIT_S, ShareLost, ShareWork
from hs_common.storage.queries import DatabaseUnavailable

Step = Callable[[], Awaitable[bool]]


async def nothing() -> None:
    """Claims."""


class Working:
    """Work whose steps are those given, in order."""

    def __init__(self, *steps: Step, claim: Callable[[], Awaitable[None]] = nothing) -> None:
        self.clock = Clock()
        self.done = self.ends = 0
        self._steps = list(steps)
        self.work = ShareWork(self.clock, "a work", claim, self._step, self._ended)

    async def _step(self) -> bool:
        self.done += 1
        return await self._steps.pop(0)()

    def _ended(self) -> None:
        self.ends += 1


async def more() -> bool:
    return True


async def no_more() -> bool:
    return False


async def is_lost() -> bool:
    raise ShareLost


async def breaks() -> bool:
    raise ValueError("a bug")


@pytest.mark.parametrize("last", [no_more, is_lost])
def test_steps_until_nothing_is_left_or_another_holds_the_share(last: Step) -> None:
    working = Working(more, more, last, more)
    working.work.start()
    assert (working.done, working.ends) == (3, 1)


def test_a_share_that_cannot_be_claimed() -> None:
    async def claim() -> None:
        raise ShareLost

    working = Working(more, claim=claim)
    working.work.start()
    assert (working.done, working.ends) == (0, 1)


def test_a_bug_breaks_it_off_loudly_and_it_is_claimed_anew() -> None:
    claims: list[int] = []

    async def claim() -> None:
        claims.append(1)

    working = Working(breaks, more, no_more, claim=claim)
    with capturedLogs() as logs:
        working.work.start()
    assert (working.done, working.ends, len(claims)) == (1, 0, 1)
    assert "a bug" in logs[0]["log_failure"].getErrorMessage()
    working.clock.advance(FAULT_RETRY_S)
    assert (working.done, working.ends, len(claims)) == (3, 1, 2)


def test_what_rests_after_a_bug_ends_at_once() -> None:
    working = Working(breaks, more)
    with capturedLogs():
        working.work.start()
    assert Deferred.fromCoroutine(working.work.stop()).called
    assert (working.done, working.ends) == (1, 0)
    assert not working.clock.getDelayedCalls()


def test_the_database_is_waited_for() -> None:
    answers: list[str | None] = [None, None, "there"]

    async def statement() -> str:
        answer = answers.pop(0)
        if answer is None:
            raise DatabaseUnavailable("08006", "it is away")
        return answer

    working = Working()
    found = Deferred.fromCoroutine(working.work.insist(statement))
    working.clock.pump([DATABASE_RETRY_S] * 3)
    assert found.result == "there"


@pytest.mark.parametrize("answers_in_time", [True, False])
def test_a_request_under_way_may_end_and_then_must(answers_in_time: bool) -> None:
    answer: Deferred[bool] = Deferred()

    async def ask() -> bool:
        with working.work.asking():
            return await answer

    working = Working(ask, more)
    working.work.start()
    stopped = Deferred.fromCoroutine(working.work.stop())
    assert not stopped.called
    if answers_in_time:
        answer.callback(True)
    else:
        working.clock.advance(STOP_LIMIT_S)
    assert stopped.called
    assert (working.done, working.ends) == (1, 0)
    assert not working.clock.getDelayedCalls()


def test_what_only_waits_ends_at_once() -> None:
    async def wait() -> bool:
        return await Deferred()

    working = Working(wait)
    working.work.start()
    assert Deferred.fromCoroutine(working.work.stop()).called
    other = Working(wait)
    other.work.start()
    other.work.abandon()
    assert (working.ends, other.ends) == (0, 0)


def test_what_was_never_begun_can_be_stopped() -> None:
    assert Deferred.fromCoroutine(Working().work.stop()).called
