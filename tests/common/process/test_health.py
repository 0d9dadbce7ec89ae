"""Liveness asks nobody, readiness knows local reasons, and a hang ends the process."""

import subprocess
import sys

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from hs_common.process.health import HANG_LIMIT_S, Health, Watchdog, within


def test_alive_while_the_reactor_turns() -> None:
    clock = Clock()
    health = Health(clock)
    health.start()
    for _ in range(30):
        clock.advance(1)
        assert health.is_alive()
    assert health.longest_turn_s == 0
    clock.rightNow += HANG_LIMIT_S  # time passes, but nothing turns
    assert not health.is_alive()
    clock.advance(1)
    assert health.is_alive()
    assert health.longest_turn_s == HANG_LIMIT_S
    health.stop()
    health.stop()
    assert clock.getDelayedCalls() == []


def test_ready_when_no_reason_speaks_against_it() -> None:
    health = Health(Clock())
    assert health.reasons() == {}
    lag = [40.0]
    health.not_ready_while("follower", lambda: f"{lag[0]} s behind" if lag[0] > 30 else None)
    health.not_ready_while("service", lambda: None)
    assert health.reasons() == {"follower": "40.0 s behind"}
    lag[0] = 1.0
    assert health.reasons() == {}


def test_deep_checks_tell_who_is_not_well_and_do_not_hang() -> None:
    clock = Clock()
    health = Health(clock)
    cancelled: list[object] = []

    async def well() -> None:
        return None

    async def refuses() -> None:
        raise ConnectionError("refused")

    async def hangs() -> None:
        await Deferred(cancelled.append)

    for name, check in (("postgres", well), ("redis", refuses), ("master", hangs)):
        health.check_deeply(name, check)
    asking = ensureDeferred(health.deep())
    found: list[dict[str, dict[str, object]]] = []
    asking.addCallback(found.append)
    clock.advance(5)
    assert found[0]["postgres"] == {"ok": True, "ms": 0.0}
    assert found[0]["redis"] == {"ok": False, "ms": 0.0, "error": "ConnectionError: refused"}
    assert (found[0]["master"]["ok"], found[0]["master"]["ms"]) == (False, 5000.0)
    assert len(cancelled) == 1


def test_within_gives_the_error_or_none() -> None:
    clock = Clock()
    done: list[str | None] = []
    work: Deferred[None] = Deferred()

    async def waiting() -> None:
        await work

    ensureDeferred(within(waiting(), 3.0, clock)).addCallback(done.append)
    work.callback(None)
    assert done == [None]
    assert clock.getDelayedCalls() == []


def test_the_watchdog_kills_a_process_whose_reactor_hangs() -> None:
    program = """
import time
from twisted.internet import reactor
from hs_common.process.health import Watchdog
Watchdog(reactor, limit_s=0.3).start()
reactor.callLater(0.7, print, "turned", flush=True)  # longer than the limit: it is fed while the reactor turns
reactor.callLater(0.8, time.sleep, 60)
reactor.run()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stdout == "turned\n"
    assert "Timeout" in ended.stderr
    assert "most recent call first" in ended.stderr


def test_a_watchdog_that_is_stopped_kills_nobody() -> None:
    program = """
import time
from twisted.internet import reactor
from hs_common.process.health import Watchdog
watchdog = Watchdog(reactor, limit_s=0.2)
watchdog.start()
watchdog.stop()
time.sleep(0.5)
print("alive")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (0, "alive\n")


def test_stopping_a_watchdog_twice_is_harmless() -> None:
    watchdog = Watchdog(Clock())
    watchdog.stop()
    watchdog.stop()
