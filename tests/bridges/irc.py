"""heisenbridge between ngircd and a homeserver, with hundreds of people: `tests/bridges/run irc [PEOPLE]`.

Both ways, in both layouts; then the IRC server, the bridge, and in the split the appservice worker and the leader are
killed while both sides talk. Ends with an error when anything that was said is missing, comes twice or out of order.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bridges.report import Report
from tests.scenarios.client import User, bodies, http_session, register
from tests.scenarios.harm import kill
from tests.scenarios.irc import Heisenbridge, IrcUser, Program, bridged, irc_users, program
from tests.scenarios.server import Server
from tests.scenarios.services import free_port

PEOPLE: Final = 500
TALKERS: Final = 50  # of them talk while processes are killed
PAUSE_S, LOOKS = 1.0, 120
NEEDED: Final = "ngircd is missing; on Debian: apt-get install ngircd"

_CONFIG = """
[Global]
    Name = irc.example.net
    Info = a play
    Listen = 127.0.0.1
    Ports = {port}
[Limits]
    MaxConnections = 0
    MaxConnectionsIP = 0
    MaxNickLength = 30
[Options]
    DNS = no
    Ident = no
    PAM = no
"""


def ngircd(folder: Path, port: int) -> tuple[str, ...]:
    """Its command, with a config of its own."""
    found = shutil.which("ngircd") or shutil.which("ngircd", path="/usr/sbin")
    if found is None:
        sys.exit(NEEDED)
    config = folder / f"ngircd-{port}.conf"
    config.write_text(_CONFIG.format(port=port))
    return (found, "--nodaemon", "--config", str(config))


class Talk:
    """What Alice and the people say to each other."""

    def __init__(self, alice: User, room_id: str) -> None:
        self._alice = alice
        self._room_id = room_id

    async def alice_reads(self, texts: Sequence[str]) -> None:
        """All of it, once each."""
        said: list[str] = []
        for _ in range(LOOKS):
            said = await self._said()
            if set(texts) <= set(said):
                break
            await asyncio.sleep(PAUSE_S)
        missing = sorted(set(texts).difference(said))
        assert not missing, f"never read: {len(missing)}, such as {missing[:10]}"
        twice = {text for text in texts if said.count(text) > 1}
        assert not twice, f"read twice: {sorted(twice)[:10]}"

    async def alice_says(self, text: str) -> None:
        await self._alice.send(self._room_id, text)

    async def both_ways(self, people: Sequence[IrcUser], mark: str) -> None:
        """Everybody says something, Alice too, and all is heard."""
        texts = [f"{mark} from {person.nick}" for person in people]
        for person, text in zip(people, texts, strict=True):
            person.say(text)
        await self.alice_reads(texts)
        await self.alice_says(f"{mark} from alice")
        await asyncio.gather(*(person.hears(f"{mark} from alice") for person in people))

    async def comes_back(self, person: IrcUser, mark: str) -> None:
        """Talks until the bridge is there again, both ways."""
        for number in range(LOOKS):
            text = f"{mark} {number}?"
            person.say(text)
            await asyncio.sleep(PAUSE_S)
            if text in await self._said():
                break
        await self.alice_says(f"{mark} alice is there")
        await person.hears(f"{mark} alice is there")

    async def members(self) -> int:
        joined = await self._alice.get(("rooms", self._room_id, "joined_members"))
        return len(joined["joined"])

    async def _said(self) -> list[str]:
        return bodies(
            [event for event in await self._alice.history(self._room_id, 1_000) if "body" in event["content"]]
        )


async def play(server: Server, folder: Path, people: int, report: Report) -> None:
    """The whole play on one server."""
    irc_port, log = free_port(), folder / "bridge.log"
    async with http_session() as http:
        alice = await register(http, [server.url], "alice")
        bridge_command = Heisenbridge(server, folder, alice.user_id).run
        with (
            program(*ngircd(folder, irc_port), log=folder / "ngircd.log") as irc,
            program(*bridge_command, log=log) as bridge,
        ):
            async with irc_users(irc_port, people) as everybody:
                report(f"{len(everybody)} people are in the channel")
                talk = Talk(alice, await bridged(alice, irc_port, "SYNC --full"))
                await until_there(talk, people)
                report(f"{await talk.members()} members are in the room")
                await talk.both_ways(everybody, "hello")
                report("everybody was heard on the other side")
                await bridge_away(talk, bridge, everybody[0], report)
                if server.split:
                    await while_processes_die(server, talk, everybody[:TALKERS], report)
                irc.kill()
            irc.start()
            async with irc_users(irc_port, people) as everybody:
                await talk.comes_back(everybody[0], "again")
                report("the IRC server was killed and started: the bridge is back in the channel")
                await talk.both_ways(everybody, "good bye")
                report("everybody was heard on the other side once more")


async def until_there(talk: Talk, people: int) -> None:
    """Until every one of them has a ghost in the room."""
    for _ in range(LOOKS):
        if await talk.members() >= people:
            return
        await asyncio.sleep(PAUSE_S)
    raise AssertionError(f"only {await talk.members()} of {people} are in the room")


async def bridge_away(talk: Talk, bridge: Program, person: IrcUser, report: Report) -> None:
    """The bridge is killed; what the homeserver has for it waits."""
    bridge.kill()
    await talk.alice_says("nobody is there")
    bridge.start()
    await talk.comes_back(person, "bridge")
    report("the bridge was killed and started, and is back in the channel")


async def while_processes_die(server: Server, talk: Talk, talkers: Sequence[IrcUser], report: Report) -> None:
    """Both sides talk meanwhile; nothing is missing, twice or out of order."""
    said = [f"meanwhile {number} from {person.nick}" for number in range(4) for person in talkers]
    answers = [f"alice's {number}" for number in range(8)]

    async def people_talk() -> None:
        for text in said:
            next(person for person in talkers if text.endswith(f" {person.nick}")).say(text)
            await asyncio.sleep(0.05)

    async def alice_talks() -> None:
        for text in answers:
            await talk.alice_says(text)
            await asyncio.sleep(1.0)

    async def die() -> None:
        for name in ("appservice-1", "leader"):
            await asyncio.sleep(1.0)
            await asyncio.to_thread(kill, server, name)

    await asyncio.gather(people_talk(), alice_talks(), die())
    await talk.alice_reads(said)
    for person in talkers:
        await person.hears(answers[-1])
        heard = [line.rstrip().rpartition(" :")[2] for line in person.heard]
        assert [text for text in heard if text in answers] == answers, f"{person.nick} heard {heard[-20:]}"
    report("the appservice worker and the leader were killed while both sides talked: all was heard, once, in order")


def main() -> None:
    people = int(sys.argv[1]) if len(sys.argv) > 1 else PEOPLE
    ngircd(Path(tempfile.gettempdir()), 0)  # before anything is started
    for split in (False, True):
        report = Report()
        with tempfile.TemporaryDirectory() as name, Server(split=split, masters=2 if split else 1) as server:
            report("split:" if split else "all in one:")
            try:
                asyncio.run(play(server, Path(name), people, report))
            except BaseException:
                sys.stderr.write(server.output(100) + (Path(name) / "bridge.log").read_text()[-4_000:])
                raise


if __name__ == "__main__":
    main()
