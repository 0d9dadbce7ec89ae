"""A hundred and fifty worlds in which everything breaks: no invariant does."""

import pytest

from tests.simulation.seeds import run_seeds

SEEDS = 150
AT_A_TIME = 30


@pytest.mark.parametrize("first", range(0, SEEDS, AT_A_TIME))
def test_the_invariants_hold_in_every_world(first: int) -> None:
    """When this fails: `python -m tests.simulation 1 --first SEED` shows the same world again."""
    report = run_seeds(range(first, first + AT_A_TIME))
    assert report.failures == []
    assert report.counts["commits"] > AT_A_TIME  # worlds in which nothing happens show nothing


def test_every_kind_of_fault_comes_and_is_survived() -> None:
    from_all = run_seeds(range(SEEDS, SEEDS + AT_A_TIME)).counts
    for kind in ("kill", "hang", "fail over", "part", "carrier down", "commit: LOSE_REPLY", "commit: DELAY_REQUEST"):
        assert from_all[kind] > 0, kind
