"""Application services made with matrix-bot-sdk and matrix-appservice-bridge (npm), in both layouts: `tests/bridges/run
bots`. The plays themselves are in `js/`.
"""

import asyncio
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.bridges.report import Report
from tests.scenarios.client import http_session, register
from tests.scenarios.server import Server
from tests.scenarios.services import free_port, registration

PLAYS: Final = ("bot-sdk", "appservice-bridge")
LIMIT_S: Final = 240.0
_PROGRAM: Final = Path(__file__).parent / "js" / "plays.mjs"


async def token(server: Server) -> str:
    """Of a user."""
    async with http_session() as http:
        return str((await register(http, [server.url], "alice")).access_token)


def play(server: Server, folder: Path, name: str) -> None:
    """One of them, with a service of its own."""
    known = registration(free_port(), **{"de.sorunome.msc2409.push_ephemeral": True, "receive_ephemeral": True})
    own = {"exclusive": True, "regex": f"#{known['id']}_.*"}
    known["namespaces"] = {**known["namespaces"], "aliases": [own], "rooms": []}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(known))
    server.command("admin", "appservice", "add", str(path))
    command = ["node", str(_PROGRAM), server.url, str(path), asyncio.run(token(server)), name]
    subprocess.run(command, check=True, timeout=LIMIT_S)


def main() -> None:
    for split in (False, True):
        report = Report()
        with tempfile.TemporaryDirectory() as name, Server(split=split) as server:
            report("split:" if split else "all in one:")
            for one in PLAYS:
                play(server, Path(name), one)
                report(f"{one}: registration, intents, ghosts, rooms, events, queries, typing, receipts")


if __name__ == "__main__":
    main()
