"""heisenbridge between a small IRC server and rooms: both ways, and many at once.

With ngircd, five hundred people, and all that can be away: `tests/bridges/run irc`.
"""

import asyncio
import sys
from pathlib import Path

from tests.scenarios.client import http_session, register
from tests.scenarios.irc import Heisenbridge, bridged, irc_users, program, reads
from tests.scenarios.server import Server
from tests.scenarios.services import free_port

_IRC_USERS = 10


def test_heisenbridge_carries_messages_both_ways(server: Server, tmp_path: Path) -> None:
    irc_port, log = free_port(), tmp_path / "log"
    irc_server = (sys.executable, "-m", "tests.scenarios.irc_server", str(irc_port))

    async def play() -> None:
        async with http_session() as http:
            alice = await register(http, [server.url], "alice")
            bridge = Heisenbridge(server, tmp_path, alice.user_id)
            with program(*irc_server, log=log), program(*bridge.run, log=log):
                channel = await bridged(alice, irc_port)
                async with irc_users(irc_port, _IRC_USERS) as people:
                    for person in people:
                        person.say(f"hello from {person.nick}")
                    await reads(alice, channel, *(f"hello from {person.nick}" for person in people))
                    await alice.send(channel, "hello people")
                    for person in people:
                        await person.hears("hello people")

    try:
        asyncio.run(play())
    except BaseException:
        sys.stdout.write(log.read_text()[-6000:])
        raise
