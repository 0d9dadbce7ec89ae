"""An encrypted room of two Viaducts."""

import signal
from pathlib import Path

from tests.federation.encryption import Side, converse
from tests.federation.pair import Pair
from tests.scenarios.server import Server


def test_encrypted_room_of_two_servers(pair: Pair, tmp_path: Path) -> None:
    converse(side(pair.a), side(pair.b), tmp_path)


def side(server: Server) -> Side:
    def start() -> None:
        server.start()
        server.wait_until_up()

    return Side([server.url], lambda: server.stop(signal.SIGTERM), start)
