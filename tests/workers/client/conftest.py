"""`play(scenario)` runs a coroutine function with a World of its own, in a database that is shared and emptied."""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from tests.reactor import run
from tests.services import TestPostgres
from tests.workers.client.world import Scenario, World, config

TABLES = (
    *("users", "devices", "access_tokens", "refresh_tokens", "profiles", "account_data", "local_membership", "state"),
    *("filters", "uia_sessions", "login_tokens", "registration_tokens", "device_seen", "appservices"),
    *("openid_tokens", "user_threepids", "threepid_bindings", "threepid_sessions"),
    *("external_ids", "sso_sessions", "cross_signing_resets"),
)
EMPTY = "; ".join(f"DELETE FROM {table}" for table in TABLES)


class Play(Protocol):
    def __call__(self, scenario: Scenario, outside: dict[str, Any] | None = None, **sections: dict[str, Any]) -> None:
        """`sections` change the config."""


@pytest.fixture(scope="session")
def accounts_database_url(postgres: TestPostgres) -> Iterator[str]:
    """One database for all plays: making one takes longer than most of them."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def play(accounts_database_url: str) -> Play:
    def play_it(scenario: Scenario, outside: dict[str, Any] | None = None, **sections: dict[str, Any]) -> None:
        async def played() -> None:
            world = World(accounts_database_url, config(**sections), **(outside or {}))
            try:
                await world.db.execute(EMPTY)
                await scenario(world)
            finally:
                await world.db.close()

        run(played())

    return play_it
