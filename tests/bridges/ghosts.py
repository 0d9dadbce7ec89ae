"""A service made with mautrix with a thousand ghosts, in both layouts: `tests/bridges/run ghosts [GHOSTS]`."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.bridges.report import Report
from tests.scenarios.mautrix_play import play
from tests.scenarios.server import Server

GHOSTS: Final = 1_000


def main() -> None:
    ghosts = int(sys.argv[1]) if len(sys.argv) > 1 else GHOSTS
    for split in (False, True):
        report = Report()
        with tempfile.TemporaryDirectory() as name, Server(split=split) as server:
            report("split:" if split else "all in one:")
            asyncio.run(play(server, Path(name), ghosts))
            report(
                f"{ghosts} ghosts registered, named, invited, joined and heard; typing, receipts, to-device messages"
            )


if __name__ == "__main__":
    main()
