"""The tests' own way onto the reactor."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.reactor import reactor, run, sleep, until


def test_gives_the_result() -> None:
    async def answer() -> int:
        await sleep(0)
        return 42

    assert run(answer()) == 42


def test_raises_the_error() -> None:
    async def fail() -> None:
        await sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(fail())


def test_ends_a_coroutine_that_waits_for_ever() -> None:
    cancelled: list[object] = []

    async def wait() -> None:
        await Deferred(cancelled.append)

    with pytest.raises(TimeoutError):
        run(wait(), timeout=0.01)
    assert len(cancelled) == 1


def test_threads_work() -> None:
    async def in_thread() -> int:
        return await deferToThread(lambda: 7)

    assert run(in_thread()) == 7


def test_until_sees_what_a_timer_did() -> None:
    async def wait() -> None:
        seen: list[int] = []
        reactor.callLater(0.01, seen.append, 1)
        await until(lambda: seen)

    run(wait())
