"""Runs many worlds and says how many failed, how, and how fast it went.

usage: python -m tests.simulation SEEDS [--first N] [--off RULE]     RULE: see `rules.py`; may be given several times
"""

import argparse
import sys
import time
from contextlib import ExitStack

from twisted.logger import globalLogBeginner

from tests.simulation.rules import RULES
from tests.simulation.seeds import run_seeds

SHOWN = 20  # failures that are shown in full


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--off", action="append", default=[], choices=list(RULES), help="a rule to switch off")
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    began = time.perf_counter()
    with ExitStack() as stack:
        for rule in options.off:
            stack.enter_context(RULES[rule]())
        report = run_seeds(range(options.first, options.first + options.seeds))
    seconds = time.perf_counter() - began
    for failure in report.failures[:SHOWN]:
        sys.stdout.write(failure + "\n")
    sys.stdout.write(
        f"{options.seeds} seeds from {options.first} in {seconds:.0f} s, {options.seeds / seconds * 60:.0f} a minute, "
        f"off: {options.off or 'nothing'}. Failed: {len(report.failed_seeds)} {report.failed_seeds[:SHOWN]}\n"
    )
    counts = ", ".join(f"{name} {count}" for name, count in sorted(report.counts.items()))
    sys.stdout.write(f"what happened: {counts}\n")
    return 1 if report.failures else 0


sys.exit(main())
