"""A few worlds of servers: they all end with the same state. Many more: see CONTRIBUTING."""

import pytest

from tests.simulation.federation.seeds import run_seeds

SEEDS = 8
AT_A_TIME = 4


@pytest.mark.parametrize("first", range(0, SEEDS, AT_A_TIME))
def test_all_servers_end_with_the_same_state(first: int) -> None:
    """When this fails: `python -m tests.simulation.federation 1 --first SEED` shows the same world again."""
    report = run_seeds(range(first, first + AT_A_TIME))
    assert report.failures == []
    assert report.counts["done: message"] > AT_A_TIME  # worlds in which nothing happens show nothing
    assert report.counts["done: join"] > AT_A_TIME


def test_the_same_seed_is_the_same_world() -> None:
    first, second, other = run_seeds((3, 3, 4)).fingerprints
    assert first == second
    assert first != other
