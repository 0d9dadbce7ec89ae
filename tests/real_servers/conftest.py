"""A Synapse and a Viaduct that know each other, started once."""

from collections.abc import Iterator

import pytest

from tests.real_servers.neighbours import Neighbours, running_neighbours
from tests.services import TestPostgres


@pytest.fixture(scope="session")
def neighbours(postgres: TestPostgres) -> Iterator[Neighbours]:
    """For the plays in which both are there all the time."""
    with postgres.database() as url, running_neighbours(url) as running:
        yield running
