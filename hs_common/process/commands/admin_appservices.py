"""`viaduct admin appservice`: bridges and bots of a running server, without a restart.

Goes over HTTP with a proof of the config's shared secret, so it works for every layout of processes.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import click

from hs_common.config import Config, ConfigError
from hs_common.http.operator_proof import HEADER, proof
from hs_common.process.greeting import base_url
from hs_common.process.options import fail, failing_with
from hs_common.process.server_options import noted, server_config, server_options

_PATH = "/_viaduct/admin/v1/appservices"
_TIMEOUT_S = 30
_Command = TypeVar("_Command", bound=Callable[..., Any])


class ServerError(Exception):
    """The running server refused, or does not run; the text says which."""


class Server:
    """The running server, asked with a proof of its shared secret. Raises ServerError."""

    def __init__(self, config: Config, url: str) -> None:
        if not config.registration.shared_secret:
            fail("set registration.shared_secret (or shared_secret_file) in the config, and restart the server")
        self._secret = config.registration.shared_secret
        self._url = url.rstrip("/")

    def ask(self, method: str, rest: str = "", body: dict[str, Any] | None = None) -> Any:
        """`rest` stands behind the path of all services."""
        data = b"" if body is None else json.dumps(body).encode()
        path = _PATH + rest
        headers = {
            HEADER: proof(self._secret, method, path, time.time_ns() // 1_000_000, data),
            "Content-Type": "application/json",
        }
        request = Request(self._url + path, data if method != "GET" else None, headers, method=method)
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as response:
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


def _server_command(command: _Command) -> _Command:
    """Adds the options that name the server."""
    url = click.option("--url", help="Where the server is reached.  [default: where it last listened]")
    return server_options(url(failing_with(ConfigError, ServerError)(command)))


def _server(data_dir: Path, config_path: Path | None, url: str | None) -> Server:
    config = server_config(data_dir, config_path)
    return Server(config, url or noted(data_dir, config_path, "url") or base_url(config))


@click.group()
def appservice() -> None:
    """Look after application services: bridges and bots."""


@appservice.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_server_command
def add(file: Path, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Register the service of a registration FILE, or change its registration."""
    text = file.read_text(encoding="utf-8")
    answer = _server(data_dir, config_path, url).ask("POST", body={"registration": text})
    click.echo(f"Registered {answer['id']}.")


@appservice.command("list")
@_server_command
def list_all(data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """List the services, one a line."""
    for one in _server(data_dir, config_path, url).ask("GET")["appservices"]:
        click.echo(f"{one['id']}\t{one['sender']}\t{one.get('url', 'no URL')}\t{one['source']}")


@appservice.command()
@click.argument("service_id", metavar="ID", required=False)
@_server_command
def status(service_id: str | None, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Say how far each service, or the one ID, has received."""
    found = _server(data_dir, config_path, url).ask("GET")["appservices"]
    wanted = [one for one in found if service_id in (None, one["id"])]
    if service_id is not None and not wanted:
        fail(f"there is no application service {service_id}")
    for one in wanted:
        click.echo(status_line(one))


def status_line(one: dict[str, Any]) -> str:
    """What the operator is told of a service."""
    parts = [f"{one['waiting']} events wait" if one["waiting"] else "nothing waits"]
    if one["oldest_s"]:
        parts.append(f"the oldest for {one['oldest_s']} s")
    if one["paused"]:
        parts.append("paused")
    if one["failures"]:
        parts.append(f"failed {one['failures']} times: {one.get('last_error', '')}")
    return f"{one['id']}: {', '.join(parts)}"


@appservice.command()
@click.argument("service_id", metavar="ID")
@_server_command
def remove(service_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Forget the service ID and what waits for it. Its users stay."""
    _server(data_dir, config_path, url).ask("DELETE", f"/{quote(service_id, safe='')}")
    click.echo(f"Removed {service_id}.")


@appservice.command()
@click.argument("service_id", metavar="ID")
@_server_command
def pause(service_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Send the service ID nothing until `resume`; what is for it waits."""
    _server(data_dir, config_path, url).ask("PUT", f"/{quote(service_id, safe='')}/state", {"paused": True})
    click.echo(f"Paused {service_id}.")


@appservice.command()
@click.argument("service_id", metavar="ID")
@_server_command
def resume(service_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Send again to the service ID, from where it was."""
    _server(data_dir, config_path, url).ask("PUT", f"/{quote(service_id, safe='')}/state", {"paused": False})
    click.echo(f"Resumed {service_id}.")


@appservice.command()
@click.argument("service_id", metavar="ID")
@_server_command
def retry(service_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Try to reach the service ID at once, however often that has failed."""
    _server(data_dir, config_path, url).ask("POST", f"/{quote(service_id, safe='')}/wake", {})
    click.echo(f"Trying {service_id}.")
