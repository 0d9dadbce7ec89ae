"""A service made with mautrix: ghosts by the hundred, ephemeral data and messages to devices in its transactions.

By the thousand: `tests/bridges/run ghosts`.
"""

import asyncio
from pathlib import Path

from tests.scenarios.mautrix_play import play
from tests.scenarios.server import Server

_GHOSTS = 200


def test_a_bridge_of_mautrix_with_hundreds_of_ghosts(server: Server, tmp_path: Path) -> None:
    asyncio.run(play(server, tmp_path, _GHOSTS))
