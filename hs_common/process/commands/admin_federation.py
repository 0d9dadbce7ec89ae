"""`viaduct admin federation`: which other servers can be reached, and trying one again at once."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

import click

from hs_common.process.commands.admin_server import server_command, server_of

_PATH: Final = "/_viaduct/admin/v1/federation"


@click.group()
def federation() -> None:
    """Look after what goes to other servers."""


@federation.command("list")
@click.option("--failing", is_flag=True, help="Only those that cannot be reached.")
@server_command
def list_all(failing: bool, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """List the servers that something was sent to, those first that cannot be reached."""
    found = server_of(data_dir, config_path, url).ask("GET", _PATH)
    shown = [one for one in found["destinations"] if one["failures"] or not failing]
    for one in shown:
        if one["failures"]:
            seconds = one["retry_in_ms"] // 1000
            tries = f"failed {one['failures']} times, tried again in {seconds} s: {one['last_error']}"
        else:
            tries = "something waits" if one["is_behind"] else "has received everything"
        click.echo(f"{one['destination']}\t{tries}")
    if not shown:
        click.echo("every server can be reached" if failing else "nothing was sent to another server yet")


@federation.command()
@click.argument("destination")
@server_command
def retry(destination: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Try the server DESTINATION at once, instead of when its time has come."""
    server_of(data_dir, config_path, url).ask("POST", f"{_PATH}/{quote(destination, safe='')}/retry", {})
    click.echo(f"{destination} is tried again now")
