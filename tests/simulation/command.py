"""The command line of a simulation: so many seeds from a first one on, with rules switched off."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from twisted.logger import globalLogBeginner

from tests.simulation.seeds import Report

SHOWN = 20  # failures that are shown in full


def main(
    program: str,
    run_seeds: Callable[[Iterable[int]], Report],
    rules: Mapping[str, Callable[[], AbstractContextManager[Any]]],
) -> int:
    """What the process exits with."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("seeds", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin with no seed after so long")
    parser.add_argument("--off", action="append", default=[], choices=list(rules), help="a rule to switch off")
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    began = time.perf_counter()
    with ExitStack() as stack:
        for rule in options.off:
            stack.enter_context(rules[rule]())
        begun: list[int] = []
        report = run_seeds(_until(began + options.seconds, options.first, options.seeds, begun))
    seconds = time.perf_counter() - began
    for failure in report.failures[:SHOWN]:
        sys.stdout.write(failure + "\n")
    for seed in report.failed_seeds[:SHOWN]:
        off = "".join(f" --off {rule!r}" for rule in options.off)
        sys.stdout.write(f"to see seed {seed} again: {program} 1 --first {seed}{off}\n")
    sys.stdout.write(
        f"{len(begun)} seeds from {options.first} in {seconds:.0f} s, {len(begun) / seconds * 60:.0f} a minute, "
        f"off: {options.off or 'nothing'}. Failed: {len(report.failed_seeds)} {report.failed_seeds[:SHOWN]}\n"
    )
    counts = ", ".join(f"{name} {count}" for name, count in sorted(report.counts.items()))
    sys.stdout.write(f"what happened: {counts}\n")
    return 1 if report.failures else 0


def _until(end: float, first: int, count: int, begun: list[int]) -> Iterator[int]:
    for seed in range(first, first + count):
        if time.perf_counter() >= end:
            return
        begun.append(seed)
        yield seed
