"""Runs worlds one after the other. Each second one has small limits: see `limits.py`."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.simulation import checkers, garbage, limits
from tests.simulation.world import World


@dataclass
class Report:
    """What was found; `counts`: how often what happened, over all worlds. `fingerprints`: one for each world."""

    failures: list[str] = field(default_factory=list)
    failed_seeds: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    fingerprints: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """Of one world; equal worlds have equal fingerprints. It keeps nothing of the world."""

    failures: list[str]
    counts: Counter[str]
    fingerprint: str


def run_each(seeds: Iterable[int], run_seed: Callable[[int], Outcome], stop_at_first: bool = False) -> Report:
    """A world for each seed, all of which are gone at the end."""
    report = Report()
    for seed in seeds:
        outcome = run_seed(seed)
        report.counts.update(outcome.counts)
        report.fingerprints.append(outcome.fingerprint)
        if outcome.failures:
            report.failures += outcome.failures
            report.failed_seeds.append(seed)
            if stop_at_first:
                break
    garbage.collect()
    return report


def run_seeds(seeds: Iterable[int], stop_at_first: bool = False) -> Report:
    return run_each(seeds, _run_seed, stop_at_first)


def _run_seed(seed: int) -> Outcome:
    with garbage.kept(), ExitStack() as stack:
        if seed % 2:
            stack.enter_context(limits.small())
        world = World(seed)
        try:
            failures = list(checkers.failures(world))
        except Exception as error:
            failures = [f"seed {seed}: at {world.surroundings.clock.now:.3f} s: {error!r}"]
        counts = world.surroundings.counts
        counts["commits"] += len(world.database.history)
        counts["requests"] += len(world.requests.asked)
        return Outcome(failures, counts, world.fingerprint)
