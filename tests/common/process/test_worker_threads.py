"""Work in threads: results and errors come back, and the queue is bounded."""

import threading

import pytest
from twisted.internet.defer import ensureDeferred, gatherResults

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
