"""Work in threads: results and errors come back, and the queue is bounded."""

import threading
from functools import partial

import pytest
from twisted.internet.defer import CancelledError, ensureDeferred, gatherResults

from hs_common.matrix.errors import MatrixError
from hs_common.process.worker_threads import WorkerThreads
from tests.reactor import reactor, run


def test_work_runs_in_another_thread_and_its_result_comes_back() -> None:
    threads = WorkerThreads(reactor, 1, "test")
    try:
        assert run(threads.run(threading.get_ident)) != threading.get_ident()
    finally:
        threads.close()


def test_an_error_of_the_work_is_raised_where_it_is_awaited() -> None:
    threads = WorkerThreads(reactor, 1, "test")
    try:
        with pytest.raises(ZeroDivisionError):
            run(threads.run(lambda: 1 // 0))
        assert run(threads.run(lambda: 5)) == 5
    finally:
        threads.close()


def test_what_does_not_fit_in_the_queue_is_told_to_come_back() -> None:
    threads = WorkerThreads(reactor, 1, "test", queue_limit=1)
    go = threading.Event()

    async def crowd() -> None:
        waiting = [ensureDeferred(threads.run(go.wait)) for _ in range(2)]
        with pytest.raises(MatrixError) as refused:
            await threads.run(go.wait)
        assert (refused.value.status, refused.value.errcode) == (429, "M_LIMIT_EXCEEDED")
        go.set()
        await gatherResults(waiting)
        assert await threads.run(lambda: 5) == 5

    try:
        run(crowd())
    finally:
        go.set()
        threads.close()


def test_threads_that_were_never_needed_are_closed_like_others() -> None:
    WorkerThreads(reactor, 1, "test").close()


def test_work_that_nobody_waits_for_any_more_takes_its_thread_until_it_ends() -> None:
    threads = WorkerThreads(reactor, 2, "test", queue_limit=0)
    go = threading.Event()

    async def crowd() -> None:
        left = ensureDeferred(threads.run(go.wait))
        left.cancel()
        with pytest.raises(CancelledError):
            await left
        assert await threads.run(lambda: 5) == 5  # in another thread
        stuck = ensureDeferred(threads.run(go.wait))
        with pytest.raises(MatrixError):
            await threads.run(lambda: 6)
        go.set()
        assert await stuck

    try:
        run(crowd())
    finally:
        go.set()
        threads.close()


def test_closing_waits_for_what_was_to_be_done() -> None:
    threads = WorkerThreads(reactor, 1, "test")
    done: list[int] = []
    for number in range(3):
        ensureDeferred(threads.run(partial(done.append, number)))
    threads.close()
    assert done == [0, 1, 2]
