"""`viaduct bench`: the benchmark, in a checkout. Its own words, as `python -m tests.bench`, are in tests/bench."""

import os
import sys
from pathlib import Path

import click

import hs_common
from hs_common.process.options import fail


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure a homeserver; --help says how."""
    checkout = Path(hs_common.__file__).resolve().parent.parent
    if not (checkout / "tests" / "bench").is_dir():
        fail("the benchmark is part of a checkout of the project, not of an installed package")
    path = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    os.execve(sys.executable, [sys.executable, "-m", "tests.bench", *arguments], environment)
