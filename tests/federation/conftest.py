"""Servers for plays between servers: started once a test process."""

from collections.abc import Iterator

import pytest

from tests.federation.pair import Pair, pair_of_servers
from tests.services import TestPostgres


@pytest.fixture(scope="session")
def pair(postgres: TestPostgres) -> Iterator[Pair]:
    """Two servers, each in one process."""
    with pair_of_servers(postgres) as running:
        yield running
