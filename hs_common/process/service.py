"""The life of a process: start step by step, serve, and end gently when told to.

On SIGTERM (or Ctrl-C) a process says that it is not ready, goes on accepting while proxies notice, answers with
`Connection: close`, lets long polls return spread over that time, then finishes what it has and ends: within 25 s,
since orchestrators kill after 30. The reactor's own signal handling is used: ending is a trigger before its shutdown.

What a role does stands in its steps; nothing of it is known here.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from hs_common.http.listener import Listener
from hs_common.process import garbage
from hs_common.process.background import Background
from hs_common.process.health import Health, Watchdog, within

ACCEPT_ON_S: Final = 5.0
"""Proxies and Kubernetes' endpoints take a few seconds to notice that we are not ready."""
ANSWERS_LIMIT_S: Final = 8.0
BACKGROUND_LIMIT_S: Final = 3.0
STEPS_LIMIT_S: Final = 8.0
"""All stop steps together. With the three above: 24 s of the 25 that we promise."""
BACKLOG: Final = 1_024
"""Connections that the kernel holds until they are accepted: beyond, clients wait for seconds, or believe themselves
connected and are not heard. A flood of new ones comes in less than a turn of a busy reactor."""

Step = Callable[[], Coroutine[Any, Any, object]]


class Service:
    """One process. `reactor` is passed in; `accept_on_s` is 0 where no proxy stands in front (a first look, tests)."""

    def __init__(
        self,
        reactor: Any,
        health: Health,
        background: Background,
        watchdog: Watchdog | None = None,
        accept_on_s: float = ACCEPT_ON_S,
    ) -> None:
        self._reactor = reactor
        self._health = health
        self._background = background
        self._watchdog = watchdog
        self._accept_on_s = accept_on_s
        self._log = Logger()
        self._state: str | None = "starting"
        self._steps: list[tuple[str, Step, Step | None]] = []
        self._started: list[tuple[str, Step]] = []
        self._drains: list[tuple[str, Step]] = []
        self._listening: list[tuple[Any, Listener]] = []
        self.failed = False
        """Whether a start step failed: the process should exit with status 1."""
        health.not_ready_while("service", lambda: self._state)

    def step(self, name: str, start: Step, stop: Step | None = None) -> None:
        """Adds a step: started in this order, stopped in the reverse order (only if it was started)."""
        self._steps.append((name, start, stop))

    def finish_background(self) -> None:
        """Adds the point at which background work is waited for: after the stops of the steps that are added later
        (which end what runs for ever), before those of the steps that are there already (a database it may need)."""

        async def nothing() -> None:
            return None

        self.step("background work", nothing, self._finish_background)

    async def _finish_background(self) -> None:
        if await within(self._background.drained(), BACKGROUND_LIMIT_S, self._reactor) is not None:
            self._log.warn("Background work was cut off: {running}", running=dict(self._background.running()))
            self._background.cancel()

    def when_draining(self, name: str, drain: Step) -> None:
        """Adds what begins as soon as the process is told to end, while it still accepts: answering long polls,
        releasing shares."""
        self._drains.append((name, drain))

    def listen(self, listener: Listener, address: str, port: int, tls: Callable[[Listener], Any] | None = None) -> None:
        """Adds a listening port as the next step. `tls` makes the listener one behind TLS."""

        async def open_port() -> None:
            factory = listener if tls is None else tls(listener)
            opened = self._reactor.listenTCP(port, factory, backlog=BACKLOG, interface=address)
            self._listening.append((opened, listener))

        self.step(f"listen on {address}:{port}", open_port)

    @property
    def ports(self) -> list[int]:
        """The ports that are open, in the order in which they were added."""
        return [opened.getHost().port for opened, _ in self._listening]

    def run(self) -> bool:
        """Runs the reactor until the process was told to end and has ended. False if it could not start."""
        self._reactor.callWhenRunning(lambda: self._background("start", self._start_or_stop()))
        self._reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(self.stop()))
        self._reactor.run()
        return not self.failed

    async def _start_or_stop(self) -> None:
        try:
            await self.start()
        except CannotListenError as error:
            self._log.critical(
                "The process could not start: {error} Give it another port, or free this one", error=error
            )
        except Exception:
            self._log.failure("The process could not start")
        else:
            garbage.settle()
            return
        self.failed = True
        self._reactor.stop()

    async def start(self) -> None:
        """Takes all steps in their order. Raises what a step raises; `stop` then stops those that were started."""
        self._health.start()
        if self._watchdog is not None:
            self._watchdog.start()
        for name, start, stop in self._steps:
            if self._state == "draining":
                return
            self._log.debug("Starting: {name}", name=name)
            await start()
            if stop is not None:
                self._started.append((name, stop))
        if self._state == "starting":
            self._state = None

    async def stop(self) -> None:
        """Ends gently, and within the limits above whatever happens."""
        was_serving = self._state is None
        self._state = "draining"
        if was_serving:
            await self._drain()
        for opened, _ in self._listening:
            await opened.stopListening()
        for _, listener in self._listening:
            await listener.drained(ANSWERS_LIMIT_S)
        self._health.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
        await self._stop_steps()
        await self._finish_background()

    async def _drain(self) -> None:
        for _, listener in self._listening:
            listener.announce_end()
        for name, drain in self._drains:
            self._background(f"drain {name}", drain())
        if self._accept_on_s > 0 and self._listening:
            elapsed: Deferred[None] = Deferred()
            self._reactor.callLater(self._accept_on_s, elapsed.callback, None)
            await elapsed

    async def _stop_steps(self) -> None:
        end_s = self._reactor.seconds() + STEPS_LIMIT_S
        for name, stop in reversed(self._started):
            left_s = max(0.1, end_s - self._reactor.seconds())
            error = await within(stop(), left_s, self._reactor)
            if error is not None:
                self._log.warn("Stopping {name}: {error}", name=name, error=error)
        self._started.clear()
