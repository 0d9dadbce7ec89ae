"""Two servers that do not hear of each other for a while: `python -m tests.real_servers.partition` plays it longer."""

from collections.abc import Iterator

import pytest

from tests.real_servers.partition import PLAYS, Amount, Separable, Steps, play, separable
from tests.services import TestPostgres


@pytest.fixture(scope="module")
def servers(postgres: TestPostgres) -> Iterator[Separable]:
    """A Viaduct and a Synapse, with wires between them that can be cut."""
    with postgres.database() as url, separable(url) as running:
        yield running


@pytest.mark.parametrize("steps", PLAYS)
def test_both_know_the_same_afterwards(servers: Separable, steps: Steps) -> None:
    play(servers, steps, Amount(rooms=20, messages=10, away_s=0))
