"""`viaduct test`: the project's tests, in a checkout."""

import os
import sys
from pathlib import Path

import click

import hs_common
from hs_common.process.options import fail, failing_with, say
from hs_common.process.programs import ProgramNotFoundError, find_postgres, find_redis

_PROCESSES = "2"  # what the smallest machine that we care for has


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST ARGUMENTS]")
@failing_with(ProgramNotFoundError)
def test(arguments: tuple[str, ...]) -> None:
    """Run the tests; arguments go to pytest. Finds or installs the PostgreSQL and the Redis that they need first."""
    checkout = Path(hs_common.__file__).resolve().parent.parent
    if not (checkout / "tests").is_dir():
        fail("the tests are part of a checkout of the project, not of an installed package")
    if not os.environ.get("VIADUCT_TEST_DATABASE_URL"):
        find_postgres(None, say)
    if not os.environ.get("VIADUCT_TEST_REDIS_URL"):
        find_redis(say)
    os.chdir(checkout)
    command = [sys.executable, "-m", "pytest", "-n", _PROCESSES, *arguments]
    os.execv(sys.executable, command)
