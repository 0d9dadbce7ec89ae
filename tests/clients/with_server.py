"""Runs a command against a split of its own: `python -m tests.clients.with_server node plays.mjs NAME …`.

The server's URL is put in as the first argument after the program. `VIADUCT_TEST_LAYOUT=all-in-one`: against one
process, as `./viaduct up` is.
"""

import os
import subprocess
import sys

from tests.scenarios.server import Server


def main() -> int:
    """The command's exit status."""
    interpreter, program, *arguments = sys.argv[1:]
    with Server(split=os.environ.get("VIADUCT_TEST_LAYOUT") != "all-in-one") as server:
        return subprocess.run([interpreter, program, server.url, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
