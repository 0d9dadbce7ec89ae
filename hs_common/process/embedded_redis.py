"""A private Redis (or Valkey) for `viaduct up --split` and the tests: a direct child on a Unix socket or loopback.

It holds nothing that is not also in PostgreSQL, so it never persists. Its options are those that any Redis for Viaduct
should have: no persistence, no eviction, a bound on memory and on each reader's buffer.
"""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from hs_common.process.child_process import spawn, stop
from hs_common.process.programs import Say, find_redis

_START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.01
_PORT_ATTEMPTS = 5  # another process may take the free port that was found before the server does

_OPTIONS = (
    *("--bind", "127.0.0.1"),
    *("--save", ""),
    *("--appendonly", "no"),
    *("--maxmemory-policy", "noeviction"),  # an evicted stream would look like a lost one
    *("--client-output-buffer-limit", "normal 64mb 32mb 10"),  # a reader that does not read is cut off
)


class EmbeddedRedisError(Exception):
    """Redis cannot run; the text says why."""


class EmbeddedRedis:
    """One Redis server on loopback, running from `start` to `stop`; a later `start` uses the same port."""

    def __init__(self, *, say: Say, maximum_memory: str = "512mb", databases: int = 16) -> None:
        self._say = say
        self._sizes = ("--maxmemory", maximum_memory, "--databases", str(databases))
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._port = 0

    def start(self) -> None:
        """Start and wait until it accepts connections. Raises EmbeddedRedisError or ProgramNotFoundError."""
        program = find_redis(self._say)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="viaduct-redis-"))
        for _ in range(_PORT_ATTEMPTS):
            port = self._port or _free_port()
            if self._try_start(program, port, self._folder):
                self._port = port
                return
        log = (self._folder / "log").read_text(errors="replace")
        raise EmbeddedRedisError(f"{program} did not start:\n{log}")

    def stop(self) -> None:
        """Stop the server and forget what it held."""
        self.kill(signal.SIGTERM)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """End the process by a signal and reap it; `start` brings an empty one back."""
        if self._process is not None:
            stop(self._process, with_signal, _STOP_TIMEOUT_S)
            self._process = None

    def has_ended(self) -> bool:
        """Whether it was started and ended without being asked to; `start` brings an empty one back."""
        return self._process is not None and self._process.poll() is not None

    @property
    def process_id(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def port(self) -> int:
        return self._port

    def url(self, database: int = 0) -> str:
        """The connection URL of one of its numbered databases."""
        return f"redis://127.0.0.1:{self._port}/{database}"

    def _try_start(self, program: Path, port: int, folder: Path) -> bool:
        with (folder / "log").open("wb") as log:
            self._process = spawn(
                [program, "--port", str(port), "--dir", folder, *_OPTIONS, *self._sizes],
                death_signal=signal.SIGKILL,  # nothing to save
                output=log,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if _answers(port):
                return True
            time.sleep(_POLL_S)
        self.kill()
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False
