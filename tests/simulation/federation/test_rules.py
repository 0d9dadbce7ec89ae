"""The simulation of servers fails when a single rule is off: so each of them carries weight, and is watched."""

import pytest

from tests.simulation.federation.rules import RULES
from tests.simulation.federation.seeds import run_seeds

SEEDS_LIMIT = 60  # most are noticed in one world of three, and the first to notice ends it
# Where one world in twenty notices, with which to begin.
FIRST = {
    "transactions are repeated": 20,  # mostly what was lost is fetched when something cites it
    "who lets somebody in signs for it": 18,
    "who is denied is kept out": 45,
    "gaps behind soft failed events are noted": 1660,
    "receipts wait for their events": 45,
}
# Where one world in some hundred notices, which are others with each change: tests of these alone stand for them.
RARE = {
    "what is known as state is history",  # test_what_is_here_as_mere_state_takes_its_place_where_nobody_gives_it
    "the newest receipt counts",  # test_the_newest_receipt_of_who_is_elsewhere_counts
    "what was redacted stays so",  # test_what_comes_as_mere_state_is_redacted_and_stays_so
}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in RARE])
def test_a_rule_that_is_off_is_noticed(rule: str) -> None:
    first = FIRST.get(rule, 0)
    with RULES[rule]():
        report = run_seeds(range(first, first + SEEDS_LIMIT), stop_at_first=True)
    assert report.failures, f"nothing fails in {SEEDS_LIMIT} worlds without the rule: {rule}"
    assert report.failures[0].startswith(f"seed {report.failed_seeds[0]}: ")
