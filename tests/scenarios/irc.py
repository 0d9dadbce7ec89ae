"""People at an IRC server, heisenbridge between it and the homeserver, and what a Matrix user sees of that."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from hs_common.process.child_process import spawn
from tests.scenarios.client import User, bodies, timeline
from tests.scenarios.server import Server
from tests.scenarios.services import free_port

CHANNEL = "#bridge"
_LIMIT_S = 120.0
_LOOK_S = 0.1
_AT_ONCE = 50  # people who come in at the same time


@contextmanager
def program(*arguments: str, log: Path) -> Iterator["Program"]:
    """A child process, as long as the block runs; it starts again by itself never."""
    running = Program(arguments, log)
    running.start()
    try:
        yield running
    finally:
        running.kill()


class Program:
    """A command, that can be killed and started again."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._arguments = arguments
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = spawn(self._arguments, death_signal=signal.SIGTERM, output=output)

    def kill(self) -> None:
        """Without warning."""
        assert self._process is not None, "it was started"
        self._process.kill()
        self._process.wait()


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
        self._line(f"PRIVMSG {CHANNEL} :{text}")

    def leave(self) -> None:
        """Without a word."""
        self._writer.close()

    async def hears(self, text: str) -> None:
        """Reads until somebody says this."""
        async with asyncio.timeout(_LIMIT_S):
            while not any(text in line for line in self.heard):
                line = (await self._reader.readline()).decode(errors="replace")
                if not line:
                    raise ConnectionError(f"{self.nick} was put off the server")
                if line.startswith("PING"):
                    self._line(line.strip().replace("PING", "PONG", 1))
                self.heard.append(line)

    def _line(self, text: str) -> None:
        self._writer.write(text.encode() + b"\r\n")


@asynccontextmanager
async def irc_users(port: int, count: int) -> AsyncIterator[list[IrcUser]]:
    """People in the channel."""
    users: list[IrcUser] = []
    try:
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            users += await asyncio.gather(*(_entered(port, number) for number in numbers))
        yield users
    finally:
        for user in users:
            user.leave()


async def _entered(port: int, number: int) -> IrcUser:
    reader, writer = await _connected(port)
    user = IrcUser(f"nick{number}", reader, writer)
    writer.write(f"NICK {user.nick}\r\nUSER {user.nick} 0 * :A person\r\nJOIN {CHANNEL}\r\n".encode())
    await user.hears(f":{user.nick}!")  # that he has joined
    return user


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


class Heisenbridge:
    """The bridge of one server, for one user. `run` is its command, once the server knows it."""

    def __init__(self, server: Server, folder: Path, owner: str) -> None:
        known, listen = str(folder / "heisenbridge.yaml"), ("-l", "127.0.0.1", "-p", str(free_port()))
        command = (sys.executable, "-m", "heisenbridge")
        subprocess.run([*command, "-c", known, "--generate", *listen], check=True, capture_output=True)
        server.command("admin", "appservice", "add", known)
        self.run = (*command, "-v", "-c", known, *listen, "-o", owner, server.url)


async def bridged(alice: User, irc_port: int, *settings: str) -> str:
    """The room of the channel, which the user has the running bridge join; `settings` are commands for the bridge."""
    control = await invited(alice)
    for setting in settings:
        await alice.send(control, setting)
    await alice.send(control, "ADDNETWORK net")
    await alice.send(control, f"ADDSERVER net 127.0.0.1 {irc_port}")
    await alice.send(control, "OPEN net")
    network = await invited(alice)
    await alice.send(network, "NICK alice")
    await alice.send(network, "CONNECT")
    await reads(alice, network, "Welcome to")
    await alice.send(network, f"JOIN {CHANNEL}")
    return await invited(alice)
