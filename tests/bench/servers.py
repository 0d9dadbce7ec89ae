"""The servers that are measured: started here in a layout, or running already somewhere.

What is started here gets a data folder of its own, which is removed with it unless it is to be kept; nothing else is
ever ended.
"""

import asyncio
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from hs_common.process.child_process import spawn
from hs_common.process.data_folder import DataFolder
from tests.bench.http_client import Address, BrokenAnswerError, Connection, Doors
from tests.bench.kept import Kept
from tests.bench.processes import Root, Tree
from tests.bench.service import Registration

OWN_LAYOUTS = ("all-in-one", "split", "split-direct")
"""`split-direct` is the split, its workers asked directly: the cost of a proxy in front is not in its figures."""
_START_TIMEOUT_S = 120.0  # a first start makes a database
_ANSWER_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 40.0  # workers drain for up to 25 s, then PostgreSQL writes a checkpoint
_LOOK_S = 0.005
_PORT_SPAN = 1_000  # of one run
_PORTS_OF_ONE = 60  # a server takes some above its own, a few of them only when it has answered for the first time
GREETED = b"All data, the config and the signing key lie in "
_WORKER_LINE = re.compile(r"^(sync|client|media)-\d+ +process \d+ +port (\d+)$", re.MULTILINE)
_VERSIONS = "/_matrix/client/versions"
_numbers = itertools.count()


class ServerError(Exception):
    """A server does not start, answer or stop; the text says why."""


class Server(Protocol):
    """A server that can be measured."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def address(self) -> Address:
        """Where it is reached."""

    @property
    def tree(self) -> Tree | None:
        """Its processes; None when they are not known, as on another machine."""

    @property
    def database_url(self) -> str | None:
        """Its PostgreSQL, if we may look into it."""


class StartedServer(Server, Protocol):
    """A server that is started here, and whose data go with it."""

    async def register(self, registration: Registration) -> None:
        """Have the running server know an application service. Raises ServerError."""

    async def start(self) -> float:
        """Start it, on existing data if there are any; answers the seconds to the first answer. Raises ServerError."""

    async def stop(self) -> None:
        """End its processes in order and wait for them. Raises ServerError when one had to be killed."""

    def remove(self) -> None:
        """Delete its data."""


class RunningServer:
    """A server that somebody else runs. `roots` are its processes on this machine, if there are any."""

    def __init__(
        self,
        name: str,
        url: str,
        roots: Sequence[Root],
        database_url: str | None = None,
        registration: Registration | None = None,
    ) -> None:
        self.name = name
        self.database_url = database_url
        self.registration = registration  # of a service of ours that it knows
        self.address = Address(url)
        self.tree = Tree(roots) if roots else None


class OwnServer:
    """A server of this checkout, or of another that needs nothing else installed, in a data folder of its own."""

    def __init__(
        self,
        layout: str,
        parent_folder: Path | None,
        scale: Mapping[str, int] | None = None,
        checkout: Path | None = None,
        kept: Kept | None = None,
    ) -> None:
        """`scale`: other numbers of workers of some roles, in a split. `checkout` None: this one."""
        self.name = layout if checkout is None else f"{layout} of {checkout.name}"
        self._layout = layout
        self._checkout = checkout
        self._scale = scale or {}
        self._stays = kept is not None
        self._folder = kept.folder if kept else Path(tempfile.mkdtemp(prefix="viaduct-bench-", dir=parent_folder))
        self._folder.chmod(0o711)  # the database's user must reach what lies in it, if we are root
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.address = Address(f"http://127.0.0.1:{self._port}")
        self.tree: Tree | None = None

    @property
    def database_url(self) -> str:
        """The embedded one, as the running server has noted it."""
        return DataFolder(self._folder / "data").noted("database-url")

    async def register(self, registration: Registration) -> None:
        """Have the running server know an application service. Raises ServerError."""
        await asyncio.to_thread(self._register, registration)

    def _register(self, registration: Registration) -> None:
        path = self._folder / "registration.yaml"
        path.write_text(registration.file())
        command = ["admin", "appservice", "add", str(path), "--data-dir", str(self._folder / "data")]
        done = subprocess.run(
            [sys.executable, "-m", "hs_common.process.command_line", *command],
            cwd=self._checkout,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServerError(f"the service cannot be registered: {done.stderr}")

    @property
    def log(self) -> Path:
        """What its processes say."""
        return self._folder / "log"

    async def start(self) -> float:
        """Start it, on existing data if there are any; answers the seconds to the first answer."""
        began = time.monotonic()
        scale = [part for role, count in self._scale.items() for part in ("--scale", f"{role}={count}")]
        layout = [] if self._layout == "all-in-one" else ["--split", *scale]
        said_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = spawn(
                [
                    *(sys.executable, "-m", "hs_common.process.command_line", "up", "--dev", *layout),
                    *("--data-dir", self._folder / "data", "--port", str(self._port)),
                ],
                death_signal=signal.SIGINT,
                directory=self._checkout,
                output=log,
            )
        self.tree = Tree([Root(self._process.pid)])
        while not await answers(self.address):
            if self._process.poll() is not None or time.monotonic() - began > _START_TIMEOUT_S:
                raise ServerError(f"the server ({self._layout}) does not answer:\n{self._last_words()}")
            await asyncio.sleep(_LOOK_S)
        seconds = time.monotonic() - began
        # A split starts the rest of its processes at the first answer, and greets then.
        while GREETED not in (said := self.log.read_bytes()[said_before:]):
            if time.monotonic() - began > _START_TIMEOUT_S:
                raise ServerError(f"the server ({self._layout}) does not greet:\n{self._last_words()}")
            await asyncio.sleep(_LOOK_S)
        if self._layout == "split-direct":
            self.address.doors = await doors(said.decode())
        return seconds

    async def stop(self) -> None:
        """End its processes in order and wait for them. Raises ServerError when one had to be killed."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self._process.kill()  # the kernel ends its children
                self._process.wait()
                raise ServerError(f"the server ({self._layout}) did not stop:\n{self._last_words()}")
            await asyncio.sleep(_LOOK_S)

    def remove(self) -> None:
        """Delete its data, unless they are to stay."""
        if not self._stays:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


async def doors(log: str) -> Doors:
    """The workers whose ports a starting split told of, once they answer. Raises ServerError."""
    found: dict[str, list[Address]] = {"sync": [], "client": [], "media": []}
    for role, port in _WORKER_LINE.findall(log):
        found[role].append(Address(f"http://127.0.0.1:{port}"))
    deadline = time.monotonic() + _START_TIMEOUT_S
    for address in (*found["sync"], *found["client"], *found["media"]):
        while not await answers(address):
            if time.monotonic() > deadline:
                raise ServerError(f"the worker on {address.url} does not answer")
            await asyncio.sleep(_LOOK_S)
    return Doors(found["sync"], found["client"], for_media=found["media"])


async def answers(address: Address) -> bool:
    """Whether a server says there which versions it speaks."""
    connection = Connection(address)
    try:
        answer = await connection.request("GET", _VERSIONS, timeout_s=_ANSWER_TIMEOUT_S)
    except (OSError, TimeoutError, BrokenAnswerError):
        return False
    finally:
        connection.close()
    return answer.status == 200 and b'"versions"' in answer.body


def free_port() -> int:
    """One below which the ports that the kernel hands out begin, with room above it for the ports of a split."""
    start = 20_000 + os.getpid() % 10 * _PORT_SPAN
    for _ in range(_PORT_SPAN // _PORTS_OF_ONE):
        port = start + next(_numbers) * _PORTS_OF_ONE % _PORT_SPAN
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise ServerError("no free port")
