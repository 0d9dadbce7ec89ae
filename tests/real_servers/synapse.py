"""A real Synapse as a child process: installed once into an environment of its own, run with SQLite on loopback.

Set VIADUCT_SYNAPSE_ENVIRONMENT to use a virtual environment that has it already.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.request import urlopen

from hs_common.process.child_process import spawn
from tests.certificates import Authority

PACKAGE: Final = "matrix-synapse>=1.120,<2"
START_LIMIT_S: Final = 90.0
_LOOK_INTERVAL_S: Final = 0.1


def synapse_python() -> Path:
    """The interpreter of an environment with Synapse, which is made at the first use."""
    given = os.environ.get("VIADUCT_SYNAPSE_ENVIRONMENT")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    environment = Path(given) if given else cache / "viaduct" / "synapse"
    python = environment / "bin" / "python"
    if not (environment / "complete").exists() and not given:
        sys.stderr.write(f"Installing {PACKAGE} into {environment} (once; some minutes) ...\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        (environment / "complete").touch()
    return python


class Synapse:
    """One server. `port` is for clients, `federation_port` speaks TLS with a certificate of `authority`."""

    def __init__(self, port: int, federation_port: int, authority: Authority) -> None:
        self.port = port
        self.federation_port = federation_port
        self.name = f"localhost:{federation_port}"
        self._authority = authority
        self._folder = tempfile.TemporaryDirectory(prefix="viaduct-synapse-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def process_id(self) -> int:
        """Of the running server, for measuring it."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._configure()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Starts it, on the same data as before if there was a before, and waits until it answers."""
        command = [
            str(synapse_python()),
            "-m",
            "synapse.app.homeserver",
            "--config-path",
            str(self._file("config.yaml")),
        ]
        with self._file("output.log").open("ab") as output:
            self._process = spawn(command, death_signal=signal.SIGTERM, environment=dict(os.environ), output=output)
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            assert self._process.poll() is None, f"Synapse ended:\n{self.output()}"
            assert time.monotonic() < deadline, f"Synapse does not answer:\n{self.output()}"
            time.sleep(_LOOK_INTERVAL_S)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """Ends it; `start` brings it back."""
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.wait(30)
            self._process = None

    def output(self, last_lines: int = 60) -> str:
        """What it logged last."""
        lines = [line for name in ("output.log", "homeserver.log") for line in self._lines(name)[-last_lines:]]
        return "\n".join(lines)

    def _lines(self, name: str) -> list[str]:
        path = self._file(name)
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/_matrix/client/versions", timeout=2) as response:
                return int(response.status) == 200
        except OSError:
            return False

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _configure(self) -> None:
        files = self._authority.issue("localhost", "127.0.0.1")
        values = {
            "name": self.name,
            "port": self.port,
            "federation_port": self.federation_port,
            "folder": self._folder.name,
            "certificate": files.certificate,
            "key": files.key,
            "ca": self._authority.ca_file,
        }
        self._file("config.yaml").write_text(_CONFIG.format(**values))
        self._file("log.yaml").write_text(_LOG.format(**values))
        subprocess.run(
            [
                str(synapse_python()),
                *("-m", "synapse.app.homeserver", "--config-path", str(self._file("config.yaml")), "--generate-keys"),
            ],
            check=True,
            capture_output=True,
        )


_CONFIG: Final = """
server_name: "{name}"
pid_file: "{folder}/pid"
report_stats: false
listeners:
  - {{port: {port}, type: http, bind_addresses: ["127.0.0.1"], resources: [{{names: [client]}}]}}
  - port: {federation_port}
    type: http
    tls: true
    bind_addresses: ["127.0.0.1"]
    resources: [{{names: [federation, keys, media]}}]
tls_certificate_path: "{certificate}"
tls_private_key_path: "{key}"
federation_custom_ca_list: ["{ca}"]
federation_ip_range_blocklist: []
ip_range_blocklist: []
ip_range_whitelist: ["127.0.0.1"]
trusted_key_servers: []
suppress_key_server_warning: true
database: {{name: sqlite3, args: {{database: "{folder}/homeserver.db"}}}}
log_config: "{folder}/log.yaml"
media_store_path: "{folder}/media"
signing_key_path: "{folder}/signing.key"
enable_registration: true
enable_registration_without_verification: true
allow_public_rooms_over_federation: true
room_list_publication_rules: [{{action: allow}}]
registration_shared_secret: "secret"
macaroon_secret_key: "secret"
form_secret: "secret"
presence: {{enabled: true}}
rc_message: &many {{per_second: 10000, burst_count: 10000}}
rc_registration: *many
rc_login: {{address: *many, account: *many, failed_attempts: *many}}
rc_joins: {{local: *many, remote: *many}}
rc_joins_per_room: *many
rc_invites: {{per_room: *many, per_user: *many, per_issuer: *many}}
rc_admin_redaction: *many
rc_federation: {{window_size: 1000, sleep_limit: 10000, sleep_delay: 0, reject_limit: 10000, concurrent: 100}}
experimental_features: {{msc3266_enabled: true}}
"""

_LOG: Final = """
version: 1
formatters: {{plain: {{format: "%(asctime)s %(levelname)s %(name)s %(message)s"}}}}
handlers: {{file: {{class: logging.FileHandler, formatter: plain, filename: "{folder}/homeserver.log"}}}}
root: {{level: INFO, handlers: [file]}}
disable_existing_loggers: false
"""
