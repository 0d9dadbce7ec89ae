"""`play(scenario)` runs a coroutine function with a World of its own, in a database that is shared and emptied."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psycopg2
import pytest

from tests.reactor import run
from tests.services import TestPostgres
from tests.workers.sync.world import World, world

Scenario = Callable[[World], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]


@pytest.fixture(scope="session")
def sync_database_url(postgres: TestPostgres) -> Iterator[str]:
    """One database for all plays: making one takes longer than most of them."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def play(sync_database_url: str) -> Play:
    def play_it(scenario: Scenario) -> None:
        empty(sync_database_url)

        async def played() -> None:
            async with world(sync_database_url) as w:
                await scenario(w)

        run(played())

    return play_it


def empty(url: str) -> None:
    """Deletes every row but those that the migrations made."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        tables = [name for (name,) in cursor.fetchall() if name not in ("leader", "migrations", "schema_migrations")]
        cursor.execute("; ".join(f"DELETE FROM {table}" for table in tables))
        cursor.execute("UPDATE leader SET epoch = 0, beat = 0, holder = NULL, address = NULL")
    connection.close()
