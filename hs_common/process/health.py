"""Whether this process lives, whether it should get requests, and, for people, how its neighbours are.

Rules: liveness asks nobody: one that asks PostgreSQL restarts the whole fleet when PostgreSQL is down. Readiness knows
*local* reasons only (starting, draining, far behind what others have): a shared fault leaves a process ready, so that
it answers 503 as JSON with CORS instead of the proxy's HTML. Only `deep` asks others, and nothing acts on its answer.
"""

import faulthandler
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall

TURN_INTERVAL_S: Final = 1.0
HANG_LIMIT_S: Final = 10.0
"""Longer than anything may ever hold the reactor; shorter than what clients and other processes wait."""
DEEP_CHECK_LIMIT_S: Final = 5.0


class Health:
    """`clock` is the reactor: its seconds are compared, and its turning is what is watched."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._turned_s: float = clock.seconds()
        self._turns = LoopingCall(self._turn)
        self._turns.clock = clock
        self._reasons: dict[str, Callable[[], str | None]] = {}
        self._checks: dict[str, Callable[[], Awaitable[object]]] = {}
        self.longest_turn_s = 0.0
        """How late the reactor came round at worst since the process began."""

    def start(self) -> None:
        """Begins to watch the reactor."""
        self._turned_s = self._clock.seconds()
        self._turns.start(TURN_INTERVAL_S, now=False)

    def stop(self) -> None:
        """Stops watching."""
        if self._turns.running:
            self._turns.stop()

    def _turn(self) -> None:
        now_s = self._clock.seconds()
        self.longest_turn_s = max(self.longest_turn_s, now_s - self._turned_s - TURN_INTERVAL_S)
        self._turned_s = now_s

    def is_alive(self) -> bool:
        """Whether the reactor turned within `HANG_LIMIT_S`."""
        return bool(self._clock.seconds() - self._turned_s < HANG_LIMIT_S)

    def not_ready_while(self, name: str, reason: Callable[[], str | None]) -> None:
        """Adds a local reason: a function that says why this process should get no requests now, None if it should."""
        self._reasons[name] = reason

    def reasons(self) -> dict[str, str]:
        """Why this process is not ready, by name; empty if it is."""
        found = ((name, reason()) for name, reason in self._reasons.items())
        return {name: reason for name, reason in found if reason is not None}

    def check_deeply(self, name: str, check: Callable[[], Awaitable[object]]) -> None:
        """Adds a question to a neighbour: it raises if that is not well."""
        self._checks[name] = check

    async def deep(self) -> dict[str, dict[str, object]]:
        """Asks all neighbours: by name, `ok`, `ms`, and `error` where it is not well."""
        return {name: await self._ask(check) for name, check in self._checks.items()}

    async def _ask(self, check: Callable[[], Awaitable[object]]) -> dict[str, object]:
        started_s = self._clock.seconds()
        error = await within(check(), DEEP_CHECK_LIMIT_S, self._clock)
        answer: dict[str, object] = {"ok": error is None, "ms": round((self._clock.seconds() - started_s) * 1000, 1)}
        return answer if error is None else {**answer, "error": error}


async def within(work: Awaitable[object], limit_s: float, clock: Any) -> str | None:
    """Waits for the work, and cancels it after the limit. The error's name and text, or None if it went well."""

    async def waiting() -> None:
        await work

    try:
        await ensureDeferred(waiting()).addTimeout(limit_s, clock)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


class Watchdog:
    """Kills the process if the reactor does not turn for `limit_s`, after writing all stacks to stderr.

    The timer is faulthandler's own thread, which needs neither the reactor nor Python's lock: a regular expression, an
    extension or a deadlock that holds these cannot stop it. The database being slow does not hold the reactor.
    """

    def __init__(self, clock: Any, limit_s: float = HANG_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._feeding = LoopingCall(self._feed)
        self._feeding.clock = clock

    def start(self) -> None:
        """Begins to watch."""
        self._feeding.start(min(TURN_INTERVAL_S, self._limit_s / 4))

    def stop(self) -> None:
        """Stops watching: what comes may take its time."""
        if self._feeding.running:
            self._feeding.stop()
        faulthandler.cancel_dump_traceback_later()

    def _feed(self) -> None:
        faulthandler.dump_traceback_later(self._limit_s, exit=True)
