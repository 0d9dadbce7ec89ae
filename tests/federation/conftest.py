"""Servers for plays between servers: started once a test process."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.federation.hostile.stage import Stage, stage
from tests.federation.pair import Pair, pair_of_servers
from tests.services import TestPostgres

ATTACK_REQUESTS: Final = 6
"""Of each attack."""


@pytest.fixture(scope="session")
def pair(postgres: TestPostgres) -> Iterator[Pair]:
    """Two servers, each in one process."""
    with pair_of_servers(postgres) as running:
        yield running


@pytest.fixture(scope="session")
def hostile_stage(postgres: TestPostgres) -> Iterator[Stage]:
    """A split server, one that wishes it ill, and an honest one."""
    with postgres.database() as url, stage(url, split=True, count=ATTACK_REQUESTS, is_measured=False) as running:
        yield running
