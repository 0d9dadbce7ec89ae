"""`viaduct admin appservice`: bridges and bots of a running server, without a restart."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from hs_common.process.commands.admin_server import server_command, server_of
from hs_common.process.options import fail

_PATH = "/_viaduct/admin/v1/appservices"


@click.group()
def appservice() -> None:
    """Look after application services: bridges and bots."""


@appservice.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@server_command
def add(file: Path, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Register the service of a registration FILE, or change its registration."""
    text = file.read_text(encoding="utf-8")
    answer = server_of(data_dir, config_path, url).ask("POST", _PATH, {"registration": text})
    click.echo(f"Registered {answer['id']}.")


@appservice.command("list")
@server_command
def list_all(data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """List the services, one a line."""
    for one in server_of(data_dir, config_path, url).ask("GET", _PATH)["appservices"]:
        click.echo(f"{one['id']}\t{one['sender']}\t{one.get('url', 'no URL')}\t{one['source']}")


@appservice.command()
@click.argument("service_id", metavar="ID", required=False)
@server_command
def status(service_id: str | None, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Say how far each service, or the one ID, has received."""
    found = server_of(data_dir, config_path, url).ask("GET", _PATH)["appservices"]
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
@click.option(
    "--deactivate-users", is_flag=True, help="Deactivate the accounts that it has made: they leave their rooms."
)
@server_command
def remove(service_id: str, deactivate_users: bool, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Forget the service ID and what waits for it. Its users stay, unless told otherwise."""
    body = {"deactivate_users": deactivate_users}
    server_of(data_dir, config_path, url).ask("DELETE", f"{_PATH}/{quote(service_id, safe='')}", body)
    click.echo(f"Removed {service_id}.")


@appservice.command()
@click.argument("service_id", metavar="ID")
@server_command
def pause(service_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Send the service ID nothing until `resume`; what is for it waits."""
    server_of(data_dir, config_path, url).ask("PUT", f"{_PATH}/{quote(service_id, safe='')}/state", {"paused": True})
    click.echo(f"Paused {service_id}.")


@appservice.command()
@click.argument("service_id", metavar="ID")
@server_command
def resume(service_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Send again to the service ID, from where it was."""
    server_of(data_dir, config_path, url).ask("PUT", f"{_PATH}/{quote(service_id, safe='')}/state", {"paused": False})
    click.echo(f"Resumed {service_id}.")


@appservice.command()
@click.argument("service_id", metavar="ID")
@server_command
def retry(service_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Try to reach the service ID at once, however often that has failed."""
    server_of(data_dir, config_path, url).ask("POST", f"{_PATH}/{quote(service_id, safe='')}/wake", {})
    click.echo(f"Trying {service_id}.")
