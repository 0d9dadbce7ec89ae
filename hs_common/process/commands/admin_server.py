"""How commands of `viaduct admin` ask the running server: over HTTP, with a proof of the config's shared secret, so
that they work from any machine that has the config file, and for every layout of processes.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import click

from hs_common.config import Config, ConfigError
from hs_common.http.operator_proof import HEADER, proof
from hs_common.process.greeting import base_url
from hs_common.process.options import fail, failing_with
from hs_common.process.server_options import noted, server_config, server_options

_TIMEOUT_S = 30.0
_Command = TypeVar("_Command", bound=Callable[..., Any])


class ServerError(Exception):
    """The running server refused, or does not run; the text says which."""


class Server:
    """The running server, asked with a proof of its shared secret. Raises ServerError."""

    def __init__(self, config: Config, url: str) -> None:
        if not config.registration.shared_secret:
            fail("set registration.shared_secret (or shared_secret_file) in the config, and restart the server")
        self.server_name = config.server.name
        self._secret = config.registration.shared_secret
        self._url = url.rstrip("/")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout_s: float = _TIMEOUT_S) -> Any:
        """The answer, as JSON."""
        data = b"" if body is None else json.dumps(body).encode()
        headers = {
            HEADER: proof(self._secret, method, path, time.time_ns() // 1_000_000, data),
            "Content-Type": "application/json",
        }
        request = Request(self._url + path, data if method != "GET" else None, headers, method=method)
        try:
            with urlopen(request, timeout=timeout_s) as response:
                return json.load(response)
        except HTTPError as error:
            raise ServerError(_reason(error)) from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"no server answers at {self._url} ({reason}). Does it run?") from None


def _reason(error: HTTPError) -> str:
    try:
        answer = json.load(error)
        return f"the server refused: {answer['error']} ({answer['errcode']})"
    except (ValueError, KeyError, TypeError):
        return f"the server refused: {error}"


def server_command(command: _Command) -> _Command:
    """Adds the options that name the server."""
    url = click.option("--url", help="Where the server is reached.  [default: where it last listened]")
    return server_options(url(failing_with(ConfigError, ServerError)(command)))


def server_of(data_dir: Path, config_path: Path | None, url: str | None) -> Server:
    """The server that the options name."""
    config = server_config(data_dir, config_path)
    return Server(config, url or noted(data_dir, config_path, "url") or base_url(config))
