"""The works that can be measured, by name. A scenario prepares users and rooms and answers one or more works."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tests.bench.population import Population
from tests.bench.scenarios.accounts import join, register
from tests.bench.scenarios.reading import incremental_sync, initial_sync, messages
from tests.bench.scenarios.sending import fanout, send_big, send_many
from tests.bench.size import Size
from tests.bench.work import Work

Scenario = Callable[[Population, Size], Awaitable[list[Work]]]

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "register": register,
    "join": join,
    "send-many": send_many,
    "send-big": send_big,
    "fanout": fanout,
    "initial-sync": initial_sync,
    "incremental-sync": incremental_sync,
    "messages": messages,
}

LIFECYCLE: Final = ("start", "idle")
"""Measured on servers that the benchmark itself starts, after everything else."""
