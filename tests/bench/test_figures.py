"""The arithmetic: percentiles, normalised CPU time, tables and ratios."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import tables
from tests.bench.figures import as_on_a_quiet_core, loop_time, median, percentile, ratio, spread
from tests.bench.results import Measurement, SliceResult, rescaled, summary

_values = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(_values, st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)


@given(_values)
def test_median_lies_in_the_middle(values: list[float]) -> None:
    found = median(values)
    assert sum(value <= found for value in values) * 2 >= len(values)
    assert sum(value >= found for value in values) * 2 >= len(values)


def test_spread_is_relative_to_the_median() -> None:
    assert spread([9, 10, 12]) == pytest.approx(0.3)
    assert spread([5]) == 0
    assert spread([0, 0]) == 0


def test_a_single_interrupted_loop_does_not_count() -> None:
    assert loop_time([100.0] * 19 + [5000.0]) == 100.0
    assert loop_time([7.0]) == 7.0


def test_cpu_of_a_slow_core_is_worth_less() -> None:
    assert as_on_a_quiet_core(30.0, loop_us=1500, quiet_loop_us=1000) == 20.0


def test_ratio_to_nothing_is_none() -> None:
    assert ratio(3, 2) == 1.5
    assert ratio(3, 0) is None


def measurement(target: str = "a", factor: float = 1.0) -> Measurement:
    """Two slices: 4 then 2 ms an operation, the second on a core that is half as fast."""
    slices = [
        SliceResult(1.0, 10, {"master": 10 * factor, "client": 30 * factor}, 5.0, 1000.0),
        SliceResult(2.0, 10, {"master": 20 * factor, "client": 20 * factor}, 5.0, 2000.0),
    ]
    return Measurement(target, "send", "event", slices, [float(n) for n in range(1, 21)], Counter({"oh": 1}))


def test_summary_takes_medians_of_normalised_slices() -> None:
    found = summary(measurement(), quiet_loop_us=1000.0)
    assert found["cpu_ms"] == pytest.approx(3.0)  # of 4.0 and 2.0
    assert found["cpu_ms_by_group"] == pytest.approx({"master": 1.0, "client": 2.0})
    assert found["per_s"] == pytest.approx(7.5)
    assert found["latency_ms"] == {"p50": 10.0, "p95": 19.0, "p99": 20.0}
    assert found["operations"] == 20
    assert found["errors"] == {"oh": 1}


def document(*measurements: Measurement, quiet: float = 1000.0) -> dict[str, Any]:
    found = {
        "size": "quick",
        "quiet_loop_us": quiet,
        "results": [summary(each, quiet) for each in measurements],
        "memory": {
            "a, idle": [{"group": "master", "processes": 1, "resident": 50.0, "peak": 61, "proportional": None}]
        },
        "failures": ["join: it broke"],
    }
    return dict(json.loads(json.dumps(found)))


def test_runs_are_compared_in_the_same_unit() -> None:
    """The second machine's loop takes twice as long when quiet, so all its figures are halved."""
    assert rescaled(document(measurement(), quiet=2000.0), 1000.0)["results"][0]["cpu_ms"] == pytest.approx(3.0)


def test_comparison_prints_second_to_first() -> None:
    one = document(measurement("a"), measurement("b", factor=2.0))
    rows = tables.comparison_rows(one, one, ("a", "b"))
    assert rows[1] == ["send", "3.00", "6.00", "2.00", "1.00", "1.00", "1.00", "1, 1"]


def test_different_sizes_are_not_compared() -> None:
    one = document(measurement())
    with pytest.raises(ValueError, match="different sizes"):
        tables.comparison_rows(one, one | {"size": "full"}, ("a", "a"))


def test_tables_show_every_group_and_every_error() -> None:
    one = document(measurement())
    rows = tables.result_rows(one, "a")
    assert rows[0][4:6] == ["client", "master"]
    assert rows[1][:6] == ["send, per event", "7.50", "3.00", "67%", "2.00", "1.00"]
    assert tables.memory_rows(one)[1] == ["a, idle: master", "1", "50.0", "61.0", "–"]
    assert tables.errors_of(one) == ["send [a]: 1 × oh", "failed: join: it broke"]


def test_a_work_without_a_result_has_a_row() -> None:
    empty = document(Measurement("a", "send", "event", errors=Counter({"oh": 9})))
    assert tables.result_rows(empty, "a")[1] == ["send, per event", *["–"] * 8, "9"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (0.0123, "0.0123"), (0.5, "0.500"), (9.99, "9.99"), (12.34, "12.3"), (4321.0, "4,321")],
)
def test_figures_have_three_significant_digits(value: float | None, text: str) -> None:
    assert tables.figure(value) == text


def test_tables_are_aligned_or_markdown() -> None:
    rows = [["work", "ms"], ["a long one", "1"]]
    assert tables.aligned(rows) == "work        ms\n----------  --\na long one   1"
    assert tables.markdown(rows) == "| work | ms |\n|---|---:|\n| a long one | 1 |"
