"""Runs worlds one after the other. Each second one has small limits: see `limits.py`."""

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.simulation import checkers, garbage, limits
from tests.simulation.world import World


@dataclass
class Report:
    """What was found; `counts`: how often what happened, over all worlds."""

    failures: list[str] = field(default_factory=list)
    failed_seeds: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def run_seeds(seeds: Iterable[int], stop_at_first: bool = False) -> Report:
    report = Report()
    for seed in seeds:
        _add(report, seed)
        if report.failures and stop_at_first:
            break
    garbage.collect()
    return report


def _add(report: Report, seed: int) -> None:
    failures, world = run_seed(seed)
    report.counts.update(world.surroundings.counts)
    report.counts["commits"] += len(world.database.history)
    report.counts["requests"] += len(world.requests.asked)
    if failures:
        report.failures += failures
        report.failed_seeds.append(seed)


def run_seed(seed: int) -> tuple[list[str], World]:
    """One world, and everything that is wrong in it, by name."""
    with garbage.kept(), ExitStack() as stack:
        if seed % 2:
            stack.enter_context(limits.small())
        world = World(seed)
        try:
            return list(checkers.failures(world)), world
        except Exception as error:
            return [f"seed {seed}: at {world.surroundings.clock.now:.3f} s: {error!r}"], world
