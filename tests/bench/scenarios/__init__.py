"""The works that can be measured, by name. A scenario prepares users and rooms and answers one or more works."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tests.bench.population import Population
from tests.bench.scenarios.accounts import join, register
from tests.bench.scenarios.bridging import catch_up, ghost_join, ghost_register, ghost_send, ghost_send_big
from tests.bench.scenarios.encrypting import keys_query, to_device
from tests.bench.scenarios.files import media
from tests.bench.scenarios.following import following
from tests.bench.scenarios.reading import incremental_sync, initial_sync, messages
from tests.bench.scenarios.searching import search
from tests.bench.scenarios.sending import fanout, send_big, send_many
from tests.bench.scenarios.sliding import sliding_sync
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
    "sliding-sync": sliding_sync,
    "messages": messages,
    "following": following,
    "search": search,
    "keys-query": keys_query,
    "to-device": to_device,
    "media": media,
    "ghost-register": ghost_register,
    "ghost-join": ghost_join,
    "ghost-send": ghost_send,
    "ghost-send-big": ghost_send_big,
    "catch-up": catch_up,
}

OF_BRIDGES: Final = ("ghost-register", "ghost-join", "ghost-send", "ghost-send-big", "catch-up")
"""These need an application service that the server knows."""

LIFECYCLE: Final = ("first-window", "start", "idle")
"""Measured on servers that the benchmark itself starts, after everything else."""
