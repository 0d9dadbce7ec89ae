"""A process starts step by step and ends gently."""

import http.client
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from hs_common.process.background import Background
from hs_common.process.health import Health
from hs_common.process.service import STEPS_LIMIT_S, Service


class Steps:
    """A service on a clock, and the order in which its steps happen."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.health = Health(self.clock)
        self.background = Background()
        self.service = Service(self.clock, self.health, self.background)
        self.happened: list[str] = []

    def add(self, name: str, fails: bool = False, hangs: bool = False) -> None:
        async def start() -> None:
            if fails:
                raise RuntimeError(name)
            self.happened.append(f"start {name}")

        async def stop() -> None:
            self.happened.append(f"stop {name}")
            if hangs:
                await Deferred()

        self.service.step(name, start, stop)


def test_steps_are_stopped_in_reverse() -> None:
    steps = Steps()
    steps.add("database")
    steps.add("follower")
    assert steps.health.reasons() == {"service": "starting"}
    ensureDeferred(steps.service.start())
    assert steps.health.reasons() == {}
    stopping = ensureDeferred(steps.service.stop())
    assert steps.health.reasons() == {"service": "draining"}
    assert stopping.called
    assert steps.happened == ["start database", "start follower", "stop follower", "stop database"]
    assert steps.clock.getDelayedCalls() == []


def test_only_what_was_started_is_stopped() -> None:
    steps = Steps()
    steps.add("database")
    steps.add("broken", fails=True)
    steps.add("never")
    failed: list[object] = []
    ensureDeferred(steps.service.start()).addErrback(lambda failure: failed.append(failure.value))
    assert [str(error) for error in failed] == ["broken"]
    ensureDeferred(steps.service.stop())
    assert steps.happened == ["start database", "stop database"]


class TakenPorts(Clock):
    """A reactor on a machine where somebody else has every port."""

    has_stopped = False

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        call()

    def addSystemEventTrigger(self, *trigger: object) -> None:
        """The end of this reactor triggers nothing."""

    def run(self) -> None:
        """It has turned already."""

    def stop(self) -> None:
        self.has_stopped = True

    def listenTCP(self, port: int, factory: Any, backlog: int, interface: str) -> None:
        raise CannotListenError(interface, port, OSError("in use"))


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    reactor, background = TakenPorts(), Background()
    service = Service(reactor, Health(reactor), background)
    listener: Any = None
    service.listen(listener, "127.0.0.1", 8008)
    with capturedLogs() as logged:
        assert not service.run()
    assert reactor.has_stopped
    assert formatEvent(logged[-1]) == (
        "The process could not start: Couldn't listen on 127.0.0.1:8008: in use. Give it another port, or free this one"
    )


def test_a_step_that_hangs_does_not_keep_the_process() -> None:
    steps = Steps()
    steps.add("database")
    steps.add("stuck", hangs=True)
    ensureDeferred(steps.service.start())
    stopping = ensureDeferred(steps.service.stop())
    assert not stopping.called
    steps.clock.advance(STEPS_LIMIT_S)
    assert stopping.called
    assert steps.happened[-1] == "stop database"


def test_background_work_is_finished_before_what_it_needs_is_closed() -> None:
    steps = Steps()
    steps.add("database")
    steps.service.finish_background()
    steps.add("poller")
    ensureDeferred(steps.service.start())
    work: Deferred[None] = Deferred()

    async def working() -> None:
        await work
        steps.happened.append("worked")

    steps.background("work", working())
    ensureDeferred(steps.service.stop())
    work.callback(None)
    assert steps.happened[2:] == ["stop poller", "worked", "stop database"]


def test_background_work_is_waited_for_in_any_case() -> None:
    steps = Steps()
    steps.add("database")
    ensureDeferred(steps.service.start())
    work: Deferred[None] = Deferred()

    async def working() -> None:
        await work

    steps.background("work", working())
    stopping = ensureDeferred(steps.service.stop())
    assert not stopping.called
    work.callback(None)
    assert stopping.called


def test_background_work_that_does_not_end_is_cut_off() -> None:
    steps = Steps()
    steps.service.finish_background()
    ensureDeferred(steps.service.start())

    async def working() -> None:
        await Deferred()

    steps.background("work", working())
    stopping = ensureDeferred(steps.service.stop())
    steps.clock.advance(10)
    assert stopping.called
    assert steps.background.running() == {}


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.common.process.serving_program", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_process_told_to_end_answers_what_it_has_and_exits(told: signal.Signals) -> None:
    with program() as process:
        assert said(process) == "started step"
        port = int(said(process).removeprefix("port "))
        polling = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        polling.request("GET", "/wait")
        assert said(process) == "waiting"
        process.send_signal(told)
        # Still accepting, but not ready, and closing each connection.
        answer = polling.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"next_batch":"unchanged"}')
        assert answer.headers["Connection"] == "close"
        out, err = process.communicate(timeout=20)
        assert out.splitlines() == ["background done", "stopped step"]
        assert process.returncode == 0, err


def test_while_it_drains_a_process_is_not_ready_but_answers() -> None:
    with program() as process:
        said(process)
        port = int(said(process).removeprefix("port "))
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        asking.request("GET", "/ready")
        ready = asking.getresponse()
        assert (ready.status, ready.read()) == (200, b'{"ready":true,"reasons":{}}')
        polling = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        polling.request("GET", "/wait")
        assert said(process) == "waiting"
        process.send_signal(signal.SIGTERM)
        polling.getresponse().read()  # draining has begun
        asking.request("GET", "/ready")
        ready = asking.getresponse()
        assert (ready.status, ready.read()) == (503, b'{"ready":false,"reasons":{"service":"draining"}}')
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_a_process_that_cannot_start_stops_what_it_started_and_says_so() -> None:
    with program("broken") as process:
        out, _ = process.communicate(timeout=20)
        assert out.splitlines() == ["started step", "stopped step"]
        assert process.returncode == 1
