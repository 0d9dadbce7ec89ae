"""Two servers that do not hear of each other for a while: `python -m tests.real_servers.partition` plays it longer."""

from collections.abc import Iterator

import pytest

from tests.real_servers.neighbours import Neighbours, play, running_neighbours
from tests.real_servers.partition import PLAYS, Amount, Steps
from tests.services import TestPostgres


@pytest.fixture(scope="module")
def servers(postgres: TestPostgres) -> Iterator[Neighbours]:
    """Others than those of the other plays: they leave each other alone for a while after they were apart."""
    with postgres.database() as url, running_neighbours(url) as running:
        yield running


@pytest.mark.parametrize("steps", PLAYS)
def test_both_know_the_same_afterwards(servers: Neighbours, steps: Steps) -> None:
    play(servers, lambda alice, bob: steps(servers, alice, bob, Amount(rooms=20, messages=10, away_s=0)))
