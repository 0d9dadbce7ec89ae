"""Results as tables for a terminal or for Markdown, and two runs side by side. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.bench.figures import ratio
from tests.bench.results import by_work, rescaled

Row = Sequence[str]
_NONE = "–"
_MOST_DECIMALS = 4


def aligned(rows: Sequence[Row]) -> str:
    """Columns in line, the first to the left, figures to the right; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def markdown(rows: Sequence[Row]) -> str:
    """The same as a Markdown table."""
    heading = ["| " + " | ".join(rows[0]) + " |", "|---" + "|---:" * (len(rows[0]) - 1) + "|"]
    return "\n".join(heading + ["| " + " | ".join(row) + " |" for row in rows[1:]])


def figure(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, never in powers of ten."""
    if value is None:
        return _NONE
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, _MOST_DECIMALS)}f}"


def result_rows(document: Mapping[str, Any], target: str) -> list[Row]:
    """One target's works: rate, CPU of all and of each group, latencies, errors."""
    results = list(by_work(document["results"], target).values())
    groups = sorted({group for result in results for group in result.get("cpu_ms_by_group", ())})
    heading = ["work", "per s", "CPU ms", "±", *groups, "generator", "p50 ms", "p95 ms", "p99 ms", "DB bytes", "errors"]
    return [heading, *(_result_row(result, groups) for result in results)]


def _result_row(result: Mapping[str, Any], groups: Iterable[str]) -> Row:
    latencies = result.get("latency_ms", {})
    spread = result.get("cpu_spread")
    by_group = result.get("cpu_ms_by_group", {})
    return [
        f"{result['work']}, per {result['operation']}",
        figure(result.get("per_s")) if latencies else _NONE,
        figure(result["cpu_ms"]) if by_group else _NONE,
        f"{spread:.0%}" if spread else _NONE,
        *(figure(by_group.get(group)) for group in groups),
        figure(result.get("generator_cpu_ms")),
        *(figure(latencies.get(name)) for name in ("p50", "p95", "p99")),
        figure(result.get("database_bytes"), digits=4),
        str(sum(result["errors"].values())),
    ]


def memory_rows(document: Mapping[str, Any]) -> list[Row]:
    """MiB of each group of processes."""
    rows: list[Row] = [["memory, MiB", "processes", "resident (largest)", "peak (largest)", "proportional (sum)"]]
    for when, groups in document["memory"].items():
        for group in groups:
            name = f"{when}: {group['group']}"
            sizes = (group["resident"], group["peak"], group["proportional"])
            rows.append([name, str(group["processes"]), *(figure(size) for size in sizes)])
    return rows


def comparison_rows(first: dict[str, Any], second: dict[str, Any], targets: tuple[str, str]) -> list[Row]:
    """second : first for each work that both did in the same size. Below 1 is better, but for the rate."""
    if first["size"] != second["size"]:
        raise ValueError(f"runs of different sizes ({first['size']}, {second['size']}) are not compared")
    second = rescaled(second, first["quiet_loop_us"])
    befores, afters = by_work(first["results"], targets[0]), by_work(second["results"], targets[1])
    rows: list[Row] = [["work", "CPU ms", "CPU ms", "ratio", "per s", "p50", "p99", "errors"]]
    for work, before in befores.items():
        if work in afters:
            rows.append(_comparison_row(work, before, afters[work]))
    return rows


def _comparison_row(work: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Row:
    def latency(result: Mapping[str, Any], name: str) -> float:
        return float(result.get("latency_ms", {}).get(name, 0.0))

    return [
        work,
        figure(before.get("cpu_ms") or None),
        figure(after.get("cpu_ms") or None),
        figure(ratio(after.get("cpu_ms", 0.0), before.get("cpu_ms", 0.0))),
        figure(ratio(after.get("per_s", 0.0), before.get("per_s", 0.0))),
        figure(ratio(latency(after, "p50"), latency(before, "p50"))),
        figure(ratio(latency(after, "p99"), latency(before, "p99"))),
        f"{sum(before['errors'].values())}, {sum(after['errors'].values())}",
    ]


def errors_of(document: Mapping[str, Any]) -> list[str]:
    """Every error with how often it came, and the scenarios that could not be run."""
    found = [
        f"{result['work']} [{result['target']}]: {count} × {error}"
        for result in document["results"]
        for error, count in result["errors"].items()
    ]
    return found + [f"failed: {failure}" for failure in document["failures"]]
