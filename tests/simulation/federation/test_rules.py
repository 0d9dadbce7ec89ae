"""The simulation of servers fails when a single rule is off: so each of them carries weight, and is watched."""

import pytest

from tests.simulation.federation.rules import RULES
from tests.simulation.federation.seeds import run_seeds

SEEDS_LIMIT = 60  # most are noticed in one world of three, and the first to notice ends it
# Where one world in twenty notices, with which to begin.
FIRST = {
    "transactions are repeated": 20,  # mostly what was lost is fetched when something cites it
    "who lets somebody in signs for it": 630,
    "who is denied is kept out": 45,
    "what is known as state is history": 1500,
    "gaps behind soft failed events are noted": 1660,
    "receipts wait for their events": 45,
    "the newest receipt counts": 200,
}


@pytest.mark.parametrize("rule", list(RULES))
def test_a_rule_that_is_off_is_noticed(rule: str) -> None:
    first = FIRST.get(rule, 0)
    with RULES[rule]():
        report = run_seeds(range(first, first + SEEDS_LIMIT), stop_at_first=True)
    assert report.failures, f"nothing fails in {SEEDS_LIMIT} worlds without the rule: {rule}"
    assert report.failures[0].startswith(f"seed {report.failed_seeds[0]}: ")
