"""Names are looked up once, however many connect there at the same time."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from hs_common.http.egress.failures import NotResolved
from hs_common.http.egress.resolving import KEPT_S, Resolver
from tests.reactor import run


class HandThreads:
    """Threads whose work is done when `work` is told so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    async def run(self, work: Callable[[], Any]) -> Any:
        done: Deferred[Any] = Deferred()
        self.waiting.append((work, done))
        return await done

    def work(self) -> None:
        work, done = self.waiting.pop()
        try:
            done.callback(work())
        except OSError as error:
            done.errback(error)


def test_all_who_wait_get_the_one_answer() -> None:
    now, threads = [0.0], HandThreads()
    resolver = Resolver(threads, lambda: now[0], lambda name: ["192.0.2.1"])
    waiting = [Deferred.fromCoroutine(resolver.addresses(name)) for name in ("there.test", "There.test.", "there.test")]
    threads.work()
    assert [one.result for one in waiting] == [("192.0.2.1",)] * 3
    assert threads.waiting == []
    assert run(resolver.addresses("there.test")) == ("192.0.2.1",)
    now[0] = KEPT_S + 1
    Deferred.fromCoroutine(resolver.addresses("there.test"))
    assert len(threads.waiting) == 1


def test_that_there_is_no_such_name_is_kept_too() -> None:
    def lookup(name: str) -> list[str]:
        raise OSError("no such name")

    threads = HandThreads()
    resolver = Resolver(threads, lambda: 0.0, lookup)
    waiting = [Deferred.fromCoroutine(resolver.addresses("nowhere.test")) for _ in range(2)]
    threads.work()
    for one in waiting:
        with pytest.raises(NotResolved):
            run(_result(one))
    assert threads.waiting == []


async def _result(deferred: "Deferred[Any]") -> Any:
    return await deferred
