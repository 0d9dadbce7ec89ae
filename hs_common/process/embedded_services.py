"""Looks after the private PostgreSQL and Redis of a local split: what ends by itself is started again.

The server heals from the loss of either without help, but only once it is back; a real deployment has an init system
or an orchestrator for that. Must not know what is stored in them.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

from hs_common.process.embedded_postgres import EmbeddedPostgresError
from hs_common.process.embedded_redis import EmbeddedRedisError
from hs_common.process.programs import ProgramNotFoundError

RETRY_PAUSE_S: Final = 5.0
"""What does not start now (disk full, its folder gone) will not start a moment later either."""


class EmbeddedService(Protocol):
    """EmbeddedPostgres or EmbeddedRedis."""

    def start(self) -> None: ...
    def has_ended(self) -> bool: ...
    @property
    def process_id(self) -> int: ...


class EmbeddedServices:
    """The private services of one `viaduct up`, by name."""

    def __init__(self, say: Callable[[str], object], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._monotonic = monotonic
        self._services: dict[str, EmbeddedService] = {}
        self._where: dict[str, str] = {}
        self._not_before: dict[str, float] = {}

    def add(self, name: str, service: EmbeddedService, where: str) -> None:
        """A service that runs now; `where` says to people how it is reached."""
        self._services[name] = service
        self._where[name] = where

    def tell(self) -> None:
        """Say each one's process id and where it is reached."""
        for name, service in self._services.items():
            self._say(f"{name:<10} process {service.process_id:<7} {self._where[name]}")

    def look(self) -> None:
        """Start again what has ended. Call it from the main thread, whose children they are."""
        for name, service in self._services.items():
            if service.has_ended() and self._monotonic() >= self._not_before.get(name, 0.0):
                self._start_again(name, service)

    def _start_again(self, name: str, service: EmbeddedService) -> None:
        self._say(f"{name} ended; starting it again")
        try:
            service.start()
        except (EmbeddedPostgresError, EmbeddedRedisError, ProgramNotFoundError, OSError) as error:
            self._not_before[name] = self._monotonic() + RETRY_PAUSE_S
            self._say(f"{name} does not start: {error}")
        else:
            self._say(f"{name} runs again as process {service.process_id}")
