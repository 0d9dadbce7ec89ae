"""`play(scenario)` runs a coroutine function with a World of its own, in a database that is shared and emptied."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psycopg2
import pytest

from hs_workers.push import judge
from tests.reactor import run
from tests.services import TestPostgres
from tests.workers.push.world import World, world
from tests.workers.sync.conftest import empty

Play = Callable[[Callable[[World], Coroutine[Any, Any, None]]], None]


@pytest.fixture(scope="session")
def push_database_url(postgres: TestPostgres) -> Iterator[str]:
    """One database for all plays: making one takes longer than most of them."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def play(push_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(judge, "NOTE_S", 0.05)

    def play_it(scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        empty(push_database_url)
        connection = psycopg2.connect(push_database_url)
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO shares (duty, shard) SELECT 'push', generate_series(0, 255)")
            cursor.execute("INSERT INTO push_shards (shard) SELECT generate_series(0, 255)")
        connection.close()

        async def played() -> None:
            async with world(push_database_url) as w:
                await scenario(w)

        run(played(), timeout=60)

    return play_it
