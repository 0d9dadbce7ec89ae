"""`viaduct admin rooms` and `viaduct admin reports`: rooms of a running server, and what users reported.

Goes over HTTP with a proof of the config's shared secret, so it works for every layout of processes.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from hs_common.process.commands.admin_server import server_command, server_of

_PATH = "/_viaduct/admin/v1/rooms"


@click.group()
def rooms() -> None:
    """Look after rooms, by their ids."""


def _path(room_id: str, rest: str) -> str:
    return f"{_PATH}/{quote(room_id, safe='')}/{rest}"


@rooms.command("list")
@server_command
def list_all(data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """List the largest rooms, one a line."""
    for room in server_of(data_dir, config_path, url).ask("GET", _PATH)["rooms"]:
        click.echo(room_line(room))


def room_line(room: dict[str, Any]) -> str:
    """What the operator is told of a room."""
    members = f"{room['joined_members']} members, {room['joined_local_members']} of this server"
    called = room.get("canonical_alias") or room.get("name") or ""
    return "\t".join((room["room_id"], members, f"version {room['version']}", called)).rstrip()


@rooms.command()
@click.argument("room_id", metavar="ROOM")
@click.option("--keep", is_flag=True, help="Keep what is stored; only put this server's users out.")
@click.option("--block", "is_blocked", is_flag=True, help="Keep this server's users out from now on.")
@click.option("--reason", help="What the users are told.")
@server_command
def delete(
    room_id: str,
    keep: bool,
    is_blocked: bool,
    reason: str | None,
    data_dir: Path,
    config_path: Path | None,
    url: str | None,
) -> None:
    """Put this server's users out of ROOM and remove all that is stored of it, in the background."""
    wanted = {"purge": not keep, "block": is_blocked, "reason": reason}
    answer = server_of(data_dir, config_path, url).ask("POST", _path(room_id, "delete"), wanted)
    click.echo(f"Deleting {room_id}: {len(answer['kicked_users'])} users are put out.")


@rooms.command()
@click.argument("room_id", metavar="ROOM")
@server_command
def status(room_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Say how far the deletions of ROOM are."""
    for one in server_of(data_dir, config_path, url).ask("GET", _path(room_id, "deletions"))["deletions"]:
        click.echo(f"{one['delete_id']}\t{one['status']}")


@rooms.command()
@click.argument("room_id", metavar="ROOM")
@server_command
def block(room_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Keep this server's users out of ROOM from now on."""
    server_of(data_dir, config_path, url).ask("PUT", _path(room_id, "block"), {"block": True})
    click.echo(f"Blocked {room_id}.")


@rooms.command()
@click.argument("room_id", metavar="ROOM")
@server_command
def unblock(room_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Let this server's users into ROOM again."""
    server_of(data_dir, config_path, url).ask("PUT", _path(room_id, "block"), {"block": False})
    click.echo(f"Unblocked {room_id}.")


@click.command()
@server_command
def reports(data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """List what users reported, the newest first."""
    for report in server_of(data_dir, config_path, url).ask("GET", "/_viaduct/admin/v1/reports")["reports"]:
        click.echo(report_line(report))


def report_line(report: dict[str, Any]) -> str:
    """What the operator is told of a report."""
    received = datetime.fromtimestamp(report["received_ts"] / 1000, UTC).isoformat(timespec="minutes")
    about = [report[key] for key in ("room_id", "event_id", "sender") if key in report]
    return "\t".join((received, f"by {report['user_id']}", *about, report["reason"].replace("\n", " "))).rstrip()
