"""`play(scenario)` runs a coroutine function with a World of its own, and closes that world's database afterwards."""

from typing import Any, Protocol

import pytest

from tests.reactor import run
from tests.workers.client.world import Scenario, World, config


class Play(Protocol):
    def __call__(self, scenario: Scenario, outside: dict[str, Any] | None = None, **sections: dict[str, Any]) -> None:
        """`sections` change the config."""


@pytest.fixture
def play(database_url: str) -> Play:
    def play_it(scenario: Scenario, outside: dict[str, Any] | None = None, **sections: dict[str, Any]) -> None:
        async def played() -> None:
            world = World(database_url, config(**sections), **(outside or {}))
            try:
                await scenario(world)
            finally:
                await world.db.close()

        run(played())

    return play_it
