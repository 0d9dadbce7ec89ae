"""A database that is shared and emptied: making one takes longer than most of these tests."""

from collections.abc import Iterator

import pytest

from tests.services import TestPostgres
from tests.workers.sync.conftest import empty


@pytest.fixture(scope="session")
def encryption_database_url(postgres: TestPostgres) -> Iterator[str]:
    with postgres.database() as url:
        yield url


@pytest.fixture
def database_url(encryption_database_url: str) -> str:
    """The URL of the shared database, without any rows."""
    empty(encryption_database_url)
    return encryption_database_url
