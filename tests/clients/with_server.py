"""Runs a command against a server of its own: `python -m tests.clients.with_server node plays.mjs NAME …`.

The server's URL is put in as the first argument after the program. `VIADUCT_TEST_LAYOUT` chooses: a split (by default),
`all-in-one`: one process with open registration, or `bare`: nothing but `./viaduct up`, where nobody may register and
rates are limited. The play is told by `VIADUCT_CREATE_USER` how accounts are made there. `VIADUCT_TEST_SETTINGS` has
further tables of the server's config, as TOML.
"""

import json
import os
import subprocess
import sys

from tests.scenarios.server import Server


def main() -> int:
    """The command's exit status."""
    interpreter, program, *arguments = sys.argv[1:]
    layout = os.environ.get("VIADUCT_TEST_LAYOUT", "split")
    assert layout in ("split", "all-in-one", "bare"), f"there is no layout {layout}"
    server = Server(split=layout == "split", dev=layout != "bare")
    server.settings = os.environ.get("VIADUCT_TEST_SETTINGS", "")
    server.reserve()
    if server.settings:
        server.public_baseurl = f"http://127.0.0.1:{server.port}"
    with server:
        told = dict(os.environ)
        if layout == "bare":
            told["VIADUCT_CREATE_USER"] = json.dumps(server.command_line("admin", "create-user"))
        return subprocess.run([interpreter, program, server.url, *arguments], env=told, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
