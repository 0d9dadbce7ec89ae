"""`viaduct admin users`: accounts of a running server.

Goes over HTTP with a proof of the config's shared secret, so it works for every layout of processes.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from hs_common.process.commands.admin_server import Server, server_command, server_of

_PATH = "/_viaduct/admin/v1/users"


@click.group()
def users() -> None:
    """Look after accounts. A NAME is alice or @alice:example.org."""


@users.command("list")
@click.argument("name", required=False, default="")
@click.option("--deactivated", is_flag=True, help="Those that were deactivated too.")
@click.option("--admins", is_flag=True, help="Only administrators.")
@server_command
def list_all(
    name: str, deactivated: bool, admins: bool, data_dir: Path, config_path: Path | None, url: str | None
) -> None:
    """List accounts, one a line; those with NAME in their name."""
    server = server_of(data_dir, config_path, url)
    wanted = {"name": name, "deactivated": deactivated, "admins": admins}
    for user in server.ask("POST", f"{_PATH}/list", wanted)["users"]:
        click.echo(user_line(user))


def user_line(user: dict[str, Any]) -> str:
    """What the operator is told of an account."""
    names = {"admin": "administrator", "is_guest": "guest"}
    flags = [
        names.get(flag, flag) for flag in ("admin", "is_guest", "locked", "suspended", "deactivated") if user[flag]
    ]
    made = datetime.fromtimestamp(user["creation_ts"] / 1000, UTC).date().isoformat()
    return "\t".join((user["name"], user["displayname"] or "", f"since {made}", ", ".join(flags))).rstrip()


@users.command()
@click.argument("name")
@server_command
def show(name: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Say what is known of the account NAME."""
    server = server_of(data_dir, config_path, url)
    user = server.ask("GET", _path(server, name))
    click.echo(user_line(user))
    for threepid in user["threepids"]:
        click.echo(f"{threepid['medium']}\t{threepid['address']}")
    for external in user["external_ids"]:
        click.echo(f"{external['auth_provider']}\t{external['external_id']}")


def _state_command(name: str, words: str, done: str, **state: bool) -> None:
    """A command that sets a flag."""

    @users.command(name, help=words)
    @click.argument("name")
    @server_command
    def command(name: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
        server = server_of(data_dir, config_path, url)
        answer = server.ask("PUT", f"{_path(server, name)}/state", state)
        click.echo(f"{answer['name']} is {done}.")


_state_command("lock", "Keep NAME from everything but logging out.", "locked", locked=True)
_state_command("unlock", "End that.", "unlocked", locked=False)
_state_command("suspend", "Let NAME read and leave, and do nothing else.", "suspended", suspended=True)
_state_command("unsuspend", "End that.", "no longer suspended", suspended=False)
_state_command("make-admin", "Let NAME administer the server.", "an administrator", admin=True)
_state_command("end-admin", "End that.", "no administrator", admin=False)


@users.command("reset-password")
@click.argument("name")
@click.option("--password", help="The new one; asked for when missing.")
@click.option("--keep-sessions", is_flag=True, help="Leave the user's devices logged in.")
@server_command
def reset_password(
    name: str,
    password: str | None,
    keep_sessions: bool,
    data_dir: Path,
    config_path: Path | None,
    url: str | None,
) -> None:
    """Give NAME a new password."""
    server = server_of(data_dir, config_path, url)
    if password is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    body = {"password": password, "logout_devices": not keep_sessions}
    server.ask("PUT", f"{_path(server, name)}/password", body)
    click.echo("The password is changed.")


@users.command()
@click.argument("name")
@click.option("--erase", is_flag=True, help="Hide the user's messages from who comes later, as far as that goes.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_command
def deactivate(name: str, erase: bool, yes: bool, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """End the account NAME for ever."""
    server = server_of(data_dir, config_path, url)
    if not yes:
        click.confirm(f"End the account {name} for ever?", abort=True)
    server.ask("POST", f"{_path(server, name)}/deactivate", {"erase": erase})
    click.echo("The account is deactivated.")


def _path(server: Server, name: str) -> str:
    user_id = name if name.startswith("@") else f"@{name}:{server.server_name}"
    return f"{_PATH}/{quote(user_id, safe='')}"
