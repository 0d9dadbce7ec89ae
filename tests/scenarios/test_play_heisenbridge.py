"""heisenbridge between a real IRC server and rooms: both ways, many at once, and after the server was away."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from hs_common.process.child_process import spawn
from tests.scenarios.client import User, bodies, http_session, register, timeline
from tests.scenarios.server import Server
from tests.scenarios.services import free_port

_IRC_USERS = 10
_LIMIT_S = 60.0
_LOOK_S = 0.1
_CHANNEL = "#bridge"


@contextmanager
def program(*arguments: str, log: Path) -> Iterator[None]:
    """A child process, as long as the block runs; it starts again by itself never."""
    with log.open("ab") as output:
        process = spawn([sys.executable, "-m", *arguments], death_signal=signal.SIGTERM, output=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def says(log: Path, text: str) -> None:
    """Waits until a program has printed this."""
    for _ in range(int(_LIMIT_S / _LOOK_S)):
        if text in await asyncio.to_thread(log.read_text):
            return
        await asyncio.sleep(_LOOK_S)
    raise AssertionError(f"nothing printed {text!r}")


class IrcUser:
    """Somebody at a plain IRC client."""

    def __init__(self, nick: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.nick = nick
        self._reader = reader
        self._writer = writer
        self.heard: list[str] = []

    def say(self, text: str) -> None:
        self._line(f"PRIVMSG {_CHANNEL} :{text}")

    async def hears(self, text: str) -> None:
        """Reads until somebody says this."""
        async with asyncio.timeout(_LIMIT_S):
            while not any(text in line for line in self.heard):
                line = (await self._reader.readline()).decode()
                assert line, f"{self.nick} was put off the server"
                if line.startswith("PING"):
                    self._line(line.strip().replace("PING", "PONG", 1))
                self.heard.append(line)

    def _line(self, text: str) -> None:
        self._writer.write(text.encode() + b"\r\n")


@asynccontextmanager
async def irc_users(port: int, count: int) -> AsyncIterator[list[IrcUser]]:
    """People in the channel."""
    users: list[IrcUser] = []
    writers: list[asyncio.StreamWriter] = []
    for number in range(count):
        reader, writer = await _connected(port)
        user = IrcUser(f"nick{number}", reader, writer)
        writer.write(f"NICK {user.nick}\r\nUSER {user.nick} 0 * :A person\r\nJOIN {_CHANNEL}\r\n".encode())
        await user.hears("JOIN")
        users.append(user)
        writers.append(writer)
    try:
        yield users
    finally:
        for writer in writers:
            writer.close()


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(_LIMIT_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)


async def invited(user: User) -> str:
    """The next room that the user is invited to, which he joins."""
    answer = await user.sync_until(lambda one: one.get("rooms", {}).get("invite"))
    room_id = next(iter(answer["rooms"]["invite"]))
    await user.join(room_id)
    return str(room_id)


async def reads(user: User, room_id: str, *texts: str) -> None:
    """Syncs until the user has read all of these in the room."""
    missing = set(texts)
    async with asyncio.timeout(_LIMIT_S):
        while missing:
            answer = await user.sync(timeout_ms=2_000)
            said = bodies([event for event in timeline(answer, room_id) if "body" in event["content"]])
            missing -= {text for text in missing if any(text in one for one in said)}


def test_heisenbridge_carries_messages_both_ways(server: Server, tmp_path: Path) -> None:
    irc_port, bridge_port = free_port(), free_port()
    known, log = str(tmp_path / "heisenbridge.yaml"), tmp_path / "log"
    listen = ("-l", "127.0.0.1", "-p", str(bridge_port))
    made = [sys.executable, "-m", "heisenbridge", "-c", known, "--generate", *listen]
    subprocess.run(made, check=True, capture_output=True)
    server.command("admin", "appservice", "add", known)

    async def play() -> None:
        async with http_session() as http:
            alice = await register(http, [server.url], "alice")
            bridge = program("heisenbridge", "-v", "-c", known, *listen, "-o", alice.user_id, server.url, log=log)
            irc = program("tests.scenarios.irc_server", str(irc_port), log=log)
            with irc, bridge:
                await they_talk(alice, irc_port)

    try:
        asyncio.run(play())
    except BaseException:
        sys.stdout.write(log.read_text()[-6000:])
        raise


async def they_talk(alice: User, irc_port: int) -> None:
    control = await invited(alice)
    await alice.send(control, "ADDNETWORK net")
    await alice.send(control, f"ADDSERVER net 127.0.0.1 {irc_port}")
    await alice.send(control, "OPEN net")
    network = await invited(alice)
    await alice.send(network, "NICK alice")
    await alice.send(network, "CONNECT")
    await reads(alice, network, "No capabilities requested")
    await alice.send(network, f"JOIN {_CHANNEL}")
    channel = await invited(alice)
    async with irc_users(irc_port, _IRC_USERS) as people:
        for person in people:
            person.say(f"hello from {person.nick}")
        await reads(alice, channel, *(f"hello from {person.nick}" for person in people))
        await alice.send(channel, "hello people")
        for person in people:
            await person.hears("hello people")
