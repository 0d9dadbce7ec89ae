"""`python -m tests.bench`."""

from tests.bench.command_line import main

main(prog_name="bench")
