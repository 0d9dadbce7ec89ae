"""A real server for a play: `viaduct up` as a child process, in a data folder and on ports of its own.

It is started, watched and harmed from outside only: by its command line, by what it prints, by signals to its
processes, and by what Redis and PostgreSQL are told. Whatever a test does to it, leaving the `with` block stops all.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.request import urlopen

import psycopg2
import redis

from hs_common.process.child_process import spawn
from hs_common.process.data_folder import DataFolder
from tests.scenarios.ports import BLOCK_SIZE, PortBlock
from tests.scenarios.relays import Relays

START_LIMIT_S: Final = 60.0  # a new database on a busy machine; usually two seconds
STOP_LIMIT_S: Final = 40.0  # above the supervisor's own limit, after which it kills
_LOOK_INTERVAL_S: Final = 0.05

_STARTED = re.compile(r"^([a-z-]+(?:-\d+)?) +process (\d+) +(?:port (\d+)|on a socket)")
_STARTED_AGAIN = re.compile(r"^([a-z-]+(?:-\d+)?) runs again as process (\d+)")
_GREETING = re.compile(r"^All data, the config and the signing key lie in ")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a split as it runs now. `name` is a role and a number, `port` 0 where it has none."""

    name: str
    process_id: int
    port: int

    @property
    def role(self) -> str:
        return re.sub(r"-\d+$", "", self.name)


class Server:
    """One running server. All in one process, or split."""

    def __init__(
        self,
        *,
        split: bool = False,
        masters: int = 1,
        name: str | None = None,
        database_url: str = "",
        dev: bool = True,
    ) -> None:
        """`name`: the server's name, if it is to be another than localhost; `database_url`: a database to use instead
        of an embedded one; without `dev` nobody may register, and rates are limited, as for everybody who starts it."""
        self.split = split
        self._dev = ["--dev"] if dev else []
        self.name = name
        self.settings = ""
        """Tables of its config (TOML), to be set before it starts."""
        self.public_baseurl = ""
        """Its own idea of its URL, likewise."""
        self.about = ""
        """Further lines of its table [server], likewise."""
        self._database_url = database_url
        self._options = ["--split", "--masters", str(masters)] if split else []
        self._ports = PortBlock()
        self._relays = Relays()
        self._reserved = False
        self._folder = Path()
        self._up: subprocess.Popen[bytes] | None = None
        self._lines: list[str] = []
        self._processes: dict[str, Process] = {}
        self._greeted = threading.Event()
        self._reader: threading.Thread | None = None

    # --- from start to end ------------------------------------------------------------------------------------------

    def reserve(self) -> None:
        """Take the ports already, so that others can be told of them; `release` gives them back."""
        self._ports.__enter__()
        self._reserved = True

    def release(self) -> None:
        """Give the reserved ports back, once the server has ended."""
        self._reserved = False
        self._ports.__exit__(None, None, None)

    def __enter__(self) -> Self:
        if not self._reserved:
            self._ports.__enter__()
        self._folder = Path(tempfile.mkdtemp(prefix="viaduct-play-"))
        self._folder.chmod(0o711)  # so that root's unprivileged user can enter
        try:
            self._write_config()
            self.start()
            self.wait_until_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _write_config(self) -> None:
        """Where the config is to have more than what `up` would write."""
        about = self.about + (f'\npublic_baseurl = "{self.public_baseurl}"\n' if self.public_baseurl else "")
        if self.name is None and not self.settings and not about:
            return
        folder = DataFolder(self._folder / "data")
        folder.path.mkdir(mode=0o711)
        folder.make_config(self.name or "localhost", self.port, os.urandom)
        if about:
            text = folder.config_path.read_text(encoding="utf-8")
            folder.config_path.write_text(text.replace("[server]\n", f"[server]\n{about}"), encoding="utf-8")
        with folder.config_path.open("a", encoding="utf-8") as file:
            file.write(self.settings)
            if self._database_url:
                file.write(f'\n[database]\nurl = "{self._database_url}"\n')

    def start(self) -> None:
        """Start it on the same data and ports as before, if there was a before. Only from the main thread: the kernel
        ends the server when the thread that started it ends."""
        arguments = ["up", *self._dev, "--data-dir", str(self._folder / "data"), "--port", str(self.port)]
        self._processes.clear()
        self._greeted.clear()
        self._up = spawn(
            [sys.executable, "-m", "hs_common.process.command_line", *arguments, *self._options],
            death_signal=signal.SIGTERM,
            environment=_environment(),
            output=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, args=(self._up,), daemon=True)
        self._reader.start()

    def wait_until_up(self) -> None:
        """Wait until it has greeted and every worker would take requests."""
        self.wait_until(self._is_up, "the server answers", START_LIMIT_S)

    def _is_up(self) -> bool:
        assert self._up is not None
        if self._up.poll() is not None:
            raise AssertionError(f"the server ended with status {self._up.poll()}:\n{self.output()}")
        return self._greeted.is_set() and all(self.is_ready(process) for process in self.workers())

    def stop(self, with_signal: signal.Signals) -> None:
        """End everything by a signal to the parent; `start` brings it back with its data."""
        self._stop(with_signal)
        processes = [process.process_id for process in self._processes.values()]
        self.wait_until(lambda: not any(map(_is_running, processes)), "all processes are gone", STOP_LIMIT_S)

    def _end(self) -> None:
        for process in self._processes.values():
            _signal_if_there(process.process_id, signal.SIGCONT)  # a stopped process would not hear SIGTERM
        self._stop(signal.SIGTERM)
        self._relays.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        if not self._reserved:
            self._ports.__exit__(None, None, None)

    def _stop(self, with_signal: signal.Signals) -> None:
        if self._up is None:
            return
        self._up.send_signal(with_signal)
        try:
            self._up.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._up.kill()  # its children are told by the kernel
            self._up.wait()
        if self._reader is not None:
            self._reader.join(STOP_LIMIT_S)  # until the last child has closed its end
        if self._up.stdout is not None:
            self._up.stdout.close()
        self._up = None

    def _read(self, up: subprocess.Popen[bytes]) -> None:
        assert up.stdout is not None
        for raw in up.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            self._lines.append(line)
            if found := _STARTED.match(line):
                name, process_id, port = found.group(1), int(found.group(2)), int(found.group(3) or 0)
                self._processes[name] = Process(name, process_id, port)
            elif found := _STARTED_AGAIN.match(line):
                name = found.group(1)
                self._processes[name] = Process(name, int(found.group(2)), self._processes[name].port)
            elif _GREETING.match(line):
                self._greeted.set()

    # --- what runs --------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        return self._ports.first

    @property
    def url(self) -> str:
        """Where clients go: the only process, or the split's front door."""
        return self._relays.before(f"http://127.0.0.1:{self.port}")

    def url_of(self, worker: Process) -> str:
        """Where clients reach one worker."""
        return self._relays.before(f"http://127.0.0.1:{worker.port}")

    @property
    def federation_port(self) -> int:
        """The port for other servers, where the settings open one."""
        return self._ports.first + BLOCK_SIZE - 2

    @property
    def federation_url(self) -> str:
        return f"https://127.0.0.1:{self.federation_port}"

    @property
    def database_url(self) -> str:
        """Where its data are."""
        return self._database_url or self._noted("database-url")

    @property
    def process_id(self) -> int:
        """Of the parent of them all, or of the only process."""
        assert self._up is not None, "it runs"
        return self._up.pid

    def process(self, name: str) -> Process:
        """The process of that name as it runs now, such as "sync-1", "redis", "postgres"."""
        return self._processes[name]

    def processes(self) -> list[Process]:
        """All processes of a split as they run now; none when all is one process."""
        return list(self._processes.values())

    def workers(self, role: str | None = None) -> list[Process]:
        """The workers of a role, or all that listen to clients; none when all is one process."""
        roles = (role,) if role is not None else ("client", "sync", "media", "front")
        return [process for process in self._processes.values() if process.role in roles]

    def masters(self) -> list[Process]:
        """The master that leads and those that stand by."""
        return [process for process in self._processes.values() if process.role == "master"]

    def worker_urls(self) -> list[str]:
        """Where requests can be sent to: every client and sync worker, or the only process."""
        workers = [*self.workers("client"), *self.workers("sync")]
        return [self.url_of(worker) for worker in workers] or [self.url]

    def leader(self) -> Process | None:
        """The master that leads, by the leader's row; None when there is none or the database is away."""
        try:
            rows = self.query("SELECT address FROM leader")
        except psycopg2.OperationalError:
            return None
        port = int(str(rows[0][0]).rpartition(":")[2] or 0) if rows and rows[0][0] else 0
        return next((process for process in self.masters() if process.port == port), None)

    def is_ready(self, process: Process) -> bool:
        """Whether this worker would take requests now."""
        try:
            with urlopen(f"http://127.0.0.1:{process.port}/ready", timeout=2) as response:
                return int(response.status) == 200
        except OSError:
            return False

    def is_whole(self) -> bool:
        """Whether every process runs, every worker is ready and a master leads."""
        running = all(_is_running(process.process_id) for process in self._processes.values())
        return running and self.leader() is not None and all(self.is_ready(worker) for worker in self.workers())

    def output(self, last_lines: int = 200) -> str:
        """What the server and its processes printed last."""
        return "\n".join(self._lines[-last_lines:])

    def lines_so_far(self) -> int:
        """How much was printed until now; for `output_since`."""
        return len(self._lines)

    def output_since(self, line: int, last_lines: int = 300) -> str:
        """What was printed since `lines_so_far` answered `line`."""
        return "\n".join(self._lines[line:][-last_lines:])

    # --- harm -------------------------------------------------------------------------------------------------------

    def signal(self, name: str, with_signal: signal.Signals) -> int:
        """Send a signal to the process of that name; answers its process id."""
        process_id = self.process(name).process_id
        os.kill(process_id, with_signal)
        return process_id

    def wait_for_restart(self, name: str, old_process_id: int, limit_s: float) -> None:
        """Wait until another process took the place of the one that was killed."""
        self.wait_until(lambda: self.process(name).process_id != old_process_id, f"{name} runs again", limit_s)

    def redis(self) -> "redis.Redis":
        """A client of the split's Redis."""
        return redis.Redis(port=self.process("redis").port)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of one statement in the server's database."""
        connection = psycopg2.connect(self.database_url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def config_value(self, key: str) -> str:
        """A string of the data folder's config, such as the secret for registration."""
        text = (self._folder / "data" / "viaduct.toml").read_text()
        found = re.search(rf'^{key} = "([^"]*)"', text, re.MULTILINE)
        assert found is not None, f"no {key} in the config"
        return found.group(1)

    def command(self, *arguments: str) -> str:
        """What `viaduct …` says, on this server's data folder."""
        command = self.command_line(*arguments)
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def command_line(self, *arguments: str) -> list[str]:
        """How `viaduct …` is run on this server's data folder; more arguments may follow."""
        command = [sys.executable, "-m", "hs_common.process.command_line"]
        return [*command, *arguments, "--data-dir", str(self._folder / "data")]

    def _noted(self, name: str) -> str:
        return (self._folder / "data" / name).read_text().strip()

    def wait_until(self, is_so: Callable[[], bool], what: str, limit_s: float) -> None:
        """Wait for something to become true; an AssertionError with the server's last words when it does not."""
        deadline = time.monotonic() + limit_s
        while not is_so():
            assert time.monotonic() < deadline, f"not within {limit_s:.0f} s: {what}\n{self.output(60)}"
            time.sleep(_LOOK_INTERVAL_S)


def _environment() -> dict[str, str]:
    """Ours, without what would lead the server to somebody else's services."""
    redirecting: Sequence[str] = ("DATABASE_URL", "REDIS_URL", "VIADUCT_CONFIG")
    kept = {name: value for name, value in os.environ.items() if name not in redirecting}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _is_running(process_id: int) -> bool:
    """Whether the process exists and is no zombie that waits to be reaped."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def _signal_if_there(process_id: int, with_signal: signal.Signals) -> None:
    try:
        os.kill(process_id, with_signal)
    except ProcessLookupError:
        return
