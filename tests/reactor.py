"""Runs a coroutine on the real reactor from a synchronous test.

`run(coroutine)` turns the one installed reactor in the test's own thread until the coroutine is done: a test needs no
plugin and no thread, and its traceback is its own. Between two `run`s the reactor stands still: whatever a test starts
(connections, timers) it closes before its coroutine ends. Tests of pure code and of timers use `task.Clock` instead.
"""

import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

T = TypeVar("T")

# The typing of `twisted.internet.reactor` is that of a module; every interface of the real one is needed here.
reactor: Any = installed_reactor

LONGEST_TURN = 0.5  # seconds: a turn ends at the latest then, so that the time limit of `run` is looked at
POLL_INTERVAL = 0.005  # seconds between two looks of `until`


def run(coroutine: Coroutine[Any, Any, T] | Coroutine[Deferred[Any], Any, T], timeout: float = 90.0) -> T:
    """Turns the reactor until `coroutine` is done; gives its result or raises its error.

    After `timeout` seconds the coroutine is cancelled and TimeoutError is raised. Calls must not be nested.
    """
    _start()
    outcome: list[Any] = []
    deferred = Deferred.fromCoroutine(coroutine)
    deferred.addBoth(outcome.append)
    end = time.monotonic() + timeout
    while not outcome:
        left = end - time.monotonic()
        if left <= 0:
            deferred.cancel()
            raise TimeoutError(f"the coroutine was not done after {timeout} s")
        next_call = reactor.timeout()
        reactor.iterate(min(left, LONGEST_TURN if next_call is None else next_call, LONGEST_TURN))
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    result: T = outcome[0]
    return result


async def sleep(seconds: float) -> None:
    """Waits in real time; only for what no event announces."""
    await deferLater(reactor, seconds)


async def until(condition: Callable[[], object], timeout: float = 60.0) -> None:
    """Waits until `condition()` is true; AssertionError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"the condition did not come true within {timeout} s"
        await sleep(POLL_INTERVAL)


def _start() -> None:
    """Tells the reactor that it runs, once: threads, resolvers and `callWhenRunning` need it. No signal handlers."""
    if not reactor.running:
        # Daemon threads, because nobody stops the reactor and the interpreter must be able to end.
        reactor.getThreadPool().threadFactory = _daemon_thread
        reactor.startRunning(installSignalHandlers=False)


def _daemon_thread(*args: Any, **kwargs: Any) -> threading.Thread:
    thread = threading.Thread(*args, **kwargs)
    thread.daemon = True
    return thread
