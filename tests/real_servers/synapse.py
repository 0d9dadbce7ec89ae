"""A real Synapse as child processes: installed once into an environment of its own, run on loopback.

It keeps its data in SQLite, or in a PostgreSQL of its own; it is one process, or one with workers about it as our own
split has them. Set VIADUCT_SYNAPSE_ENVIRONMENT to use a virtual environment that has it already.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.request import urlopen

from hs_common.process.child_process import spawn
from hs_common.process.child_process import stop as stop_child
from hs_common.process.embedded_postgres import EmbeddedPostgres
from hs_common.process.embedded_redis import EmbeddedRedis
from tests.certificates import Authority
from tests.real_servers import synapse_settings
from tests.real_servers.synapse_settings import Settings, Split, Tls, Worker

PACKAGE: Final = "matrix-synapse[postgres,redis]>=1.120,<2"
START_LIMIT_S: Final = 90.0
_STOP_LIMIT_S: Final = 30.0
_LOOK_INTERVAL_S: Final = 0.1
_DATABASE: Final = "synapse"
_CLIENT_WORKERS: Final = ("client1", "client2")
_SYNC_WORKERS: Final = ("sync1", "sync2")
_PERSISTER: Final = "persister1"
_NOTIFIER: Final = "appservice1"
_PORTS_BEFORE_WORKERS: Final = 2  # of clients, and of federation


def synapse_python() -> Path:
    """The interpreter of an environment with Synapse, which is made at the first use."""
    given = os.environ.get("VIADUCT_SYNAPSE_ENVIRONMENT")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    environment = Path(given) if given else cache / "viaduct" / "synapse-with-postgres"
    python = environment / "bin" / "python"
    if not (environment / "complete").exists() and not given:
        sys.stderr.write(f"Installing {PACKAGE} into {environment} (once; some minutes) ...\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        (environment / "complete").touch()
    return python


class SynapseError(Exception):
    """It does not start; the text says why."""


class Synapse:
    """One server, answering clients on `port` and taking the ports above it for its workers.

    With a `federation_port` it speaks TLS there, with a certificate of `authority`. `with_postgres` and `with_workers`
    say what it consists of; workers need PostgreSQL. `parent_folder` is on the disk that holds its data; what it keeps
    in a `folder` stays there after the end.
    """

    def __init__(
        self,
        port: int,
        federation_port: int | None = None,
        authority: Authority | None = None,
        *,
        with_postgres: bool = False,
        with_workers: bool = False,
        log_level: str = "INFO",
        parent_folder: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        assert with_postgres or not with_workers, "workers need PostgreSQL"
        self.port = port
        self.federation_port = federation_port
        self.name = f"localhost:{federation_port or port}"
        self.registrations: list[Path] = []  # files of application services, read at the next start
        self._tls = _tls(federation_port, authority)
        self._log_level = log_level
        self._stays = folder is not None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="viaduct-synapse-", dir=parent_folder))
        """What it keeps lies there."""
        self.folder.chmod(0o711)  # the database's user must reach what lies in it, if we are root
        self._postgres = EmbeddedPostgres(self.folder, say=_silent) if with_postgres else None
        self._redis = EmbeddedRedis(say=_silent) if with_workers else None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._services_run = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def process_id(self) -> int:
        """Of the running server's first process, for measuring it."""
        return self._processes[0].pid

    @property
    def process_ids(self) -> list[int]:
        """Of all its processes, PostgreSQL and Redis included."""
        services = [service.process_id for service in (self._postgres, self._redis) if service is not None]
        return [process.pid for process in self._processes] + services

    @property
    def database_url(self) -> str | None:
        """Of its PostgreSQL, while that runs."""
        return self._postgres.url(_DATABASE) if self._postgres else None

    @property
    def client_urls(self) -> list[str]:
        """Where clients ask for what is not a /sync; not every request is answered by a worker."""
        return self._urls(_CLIENT_WORKERS)

    @property
    def sync_urls(self) -> list[str]:
        """Where clients ask for their /sync."""
        return self._urls(_SYNC_WORKERS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self) -> None:
        """Starts it, on the same data as before if there was a before, and waits until it answers."""
        for _ in self.starting():
            time.sleep(_LOOK_INTERVAL_S)

    def starting(self) -> Iterator[None]:
        """Starts it step by step: ends when all of it answers, and yields where there is something to wait for."""
        self._start_services()
        self._configure()
        self._launch("homeserver", [self._file("config.yaml")])
        yield from self._until_up(self.port)  # which makes the database that workers find
        for worker in self._workers():
            self._launch("generic_worker", [self._file("config.yaml"), self._file(f"worker-{worker.name}.yaml")])
        for worker in self._workers():
            if worker.port:
                yield from self._until_up(worker.port)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """Ends it but for its database; `start` brings it back."""
        for process in self._processes:
            process.send_signal(with_signal)
        for process in self._processes:
            process.wait(_STOP_LIMIT_S)
        self._processes.clear()

    def end(self) -> None:
        """Ends all of it and deletes its data, unless they are to stay."""
        self.stop_all()
        if not self._stays:
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop_all(self) -> None:
        """Ends it with its database; `start` brings it back."""
        for process in self._processes:
            stop_child(process, signal.SIGTERM, _STOP_LIMIT_S)
        self._processes.clear()
        for service in (self._postgres, self._redis):
            if service is not None:
                service.stop()
        self._services_run = False

    def output(self, last_lines: int = 60) -> str:
        """What it logged last."""
        lines = [line for name in ("output.log", "homeserver.log") for line in self._lines(name)[-last_lines:]]
        return "\n".join(lines)

    def _lines(self, name: str) -> list[str]:
        path = self._file(name)
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def _start_services(self) -> None:
        if self._services_run:
            return
        self._services_run = True
        if self._postgres is not None:
            self._postgres.start()
            self._postgres.create_database(_DATABASE)
        if self._redis is not None:
            self._redis.start()

    def _workers(self) -> list[Worker]:
        if self._redis is None:
            return []
        first = self.port + _PORTS_BEFORE_WORKERS
        asked = [Worker(name, first + number) for number, name in enumerate(_CLIENT_WORKERS + _SYNC_WORKERS, 1)]
        return [*asked, Worker(_PERSISTER, replication_port=first + len(asked) + 1), Worker(_NOTIFIER)]

    def _urls(self, names: Sequence[str]) -> list[str]:
        return [f"http://127.0.0.1:{worker.port}" for worker in self._workers() if worker.name in names]

    def _launch(self, application: str, configs: Sequence[Path]) -> None:
        paths = [part for path in configs for part in ("--config-path", str(path))]
        with self._file("output.log").open("ab") as output:
            self._processes.append(
                spawn(
                    [synapse_python(), "-m", f"synapse.app.{application}", *paths],
                    death_signal=signal.SIGTERM,
                    environment=dict(os.environ),
                    output=output,
                )
            )

    def _until_up(self, port: int) -> Iterator[None]:
        deadline = time.monotonic() + START_LIMIT_S
        while not _answers(port):
            if any(process.poll() is not None for process in self._processes):
                raise SynapseError(f"Synapse ended:\n{self.output()}")
            if time.monotonic() > deadline:
                raise SynapseError(f"Synapse does not answer:\n{self.output()}")
            yield

    def _file(self, name: str) -> Path:
        return self.folder / name

    def _configure(self) -> None:
        settings = Settings(
            name=self.name,
            port=self.port,
            folder=self.folder,
            log_level=self._log_level,
            database_url=self.database_url,
            tls=self._tls,
            registrations=self.registrations,
            split=self._split(),
        )
        self._write("config.yaml", synapse_settings.shared(settings))
        self._write("log.yaml", synapse_settings.logging(settings))
        for worker in self._workers():
            self._write(f"worker-{worker.name}.yaml", synapse_settings.of_worker(worker, settings.folder))
        command = [synapse_python(), "-m", "synapse.app.homeserver", "--config-path", self._file("config.yaml")]
        done = subprocess.run([*map(str, command), "--generate-keys"], capture_output=True, text=True)
        if done.returncode:
            raise SynapseError(f"Synapse does not take its settings:\n{done.stdout}{done.stderr}")

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        self._file(name).write_text(json.dumps(content, indent=1))

    def _split(self) -> Split | None:
        if self._redis is None:
            return None
        replication_port = self.port + _PORTS_BEFORE_WORKERS
        return Split(replication_port, self._redis.port, self._workers(), _PERSISTER, _NOTIFIER)


def _tls(port: int | None, authority: Authority | None) -> Tls | None:
    if port is None:
        return None
    assert authority is not None, "federation needs a certificate"
    files = authority.issue("localhost", "127.0.0.1")
    return Tls(port, files.certificate, files.key, authority.ca_file)


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/_matrix/client/versions", timeout=2) as response:
            return int(response.status) == 200
    except OSError:
        return False


def _silent(text: str) -> None:
    """Its services' progress is of no interest."""
