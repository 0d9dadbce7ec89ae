"""`viaduct admin media`: what media take, who may not send or have which, and deleting them."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from hs_common.process.commands.admin_server import server_command, server_of
from hs_common.process.options import fail

_PATH: Final = "/_viaduct/admin/v1/media"
_DAY_MS: Final = 86_400_000
_PARTS: Final = 256
"""The storage is moved in so many parts, by the first byte of the digest."""
_MOVE_TIMEOUT_S: Final = 3600.0
"""A step ends with the contents that are under way after five seconds, however large they are."""
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")


@click.group()
def media() -> None:
    """Look after media: what users upload and other servers send."""


@media.command()
@server_command
def usage(data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Say what media take, and who has most of them."""
    found = server_of(data_dir, config_path, url).ask("GET", _PATH)
    click.echo(f"{found['local']} uploads of users: {size(found['local_bytes'])}")
    click.echo(f"{found['remote']} of other servers: {size(found['remote_bytes'])}")
    click.echo(f"{found['thumbnails']} thumbnails, {found['previews']} previews of URLs")
    click.echo(f"{found['contents']} contents in the storage: {size(found['stored_bytes'])}")
    if found["quarantined_contents"]:
        click.echo(f"{found['quarantined_contents']} contents are quarantined")
    for one in found["largest_users"]:
        click.echo(f"{one['user_id']}\t{one['count']}\t{size(one['bytes'])}")


@media.command("list")
@click.argument("user_id")
@server_command
def list_of_user(user_id: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """List the newest uploads of USER_ID, and say what they take."""
    found = server_of(data_dir, config_path, url).ask("GET", f"{_PATH}/users/{quote(user_id, safe='')}")
    for one in found["media"]:
        click.echo(media_line(one))
    limit = f" of {size(found['most_bytes'])}" if "most_bytes" in found else ""
    click.echo(f"{found['count']} uploads: {size(found['bytes'])}{limit}")


def media_line(one: dict[str, Any]) -> str:
    """One upload, in a line."""
    made = time.strftime("%Y-%m-%d", time.gmtime(one["created_ts"] / 1000))
    parts = [one["media_id"], made, size(one["media_length"]), one["media_type"], one["upload_name"] or ""]
    if one["quarantined_by"]:
        parts.append(f"quarantined by {one['quarantined_by']}")
    return "\t".join(parts)


@media.command()
@click.argument("user_id")
@click.argument("mebibytes", metavar="MIB")
@server_command
def quota(user_id: str, mebibytes: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Let the uploads of USER_ID take MIB mebibytes together; `default`: what the config says."""
    if mebibytes != "default" and not mebibytes.isdecimal():
        fail("MIB is a number of mebibytes, or the word default")
    most = None if mebibytes == "default" else int(mebibytes) << 20
    server_of(data_dir, config_path, url).ask("PUT", f"{_PATH}/users/{quote(user_id, safe='')}/quota", {"bytes": most})
    click.echo(f"The uploads of {user_id} may take {'what the config says' if most is None else size(most)}.")


@media.command()
@click.argument("what", metavar="MXC|USER|ROOM|SHA256")
@server_command
def quarantine(what: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Keep media from everybody: one, a user's, a room's, or all with the same bytes. They stay in the storage."""
    answer = server_of(data_dir, config_path, url).ask("POST", f"{_PATH}/quarantine", selection(what))
    click.echo(f"Quarantined {answer['quarantined']}.")


@media.command()
@click.argument("what", metavar="MXC|SHA256")
@server_command
def release(what: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """End a quarantine."""
    server_of(data_dir, config_path, url).ask("POST", f"{_PATH}/release", selection(what))
    click.echo(f"Released {what}.")


@media.command()
@click.argument("what", metavar="MXC|USER")
@click.confirmation_option(prompt="Deleted media cannot be had back. Delete?")
@server_command
def delete(what: str, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Delete one of the media, or all uploads of a user, from the storage too."""
    answer = server_of(data_dir, config_path, url).ask("POST", f"{_PATH}/delete", selection(what))
    click.echo(f"Deleted {answer['deleted']}.")


@media.command()
@click.option("--days", type=click.IntRange(0, 36_500), required=True, help="Not sent to anybody for so long.")
@click.option("--local", is_flag=True, help="Uploads of this server's users, instead of other servers' media.")
@click.option("--profiles", is_flag=True, help="With --local: pictures of users and rooms too.")
@click.confirmation_option(prompt="Purge?")
@server_command
def purge(days: int, local: bool, profiles: bool, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Delete media that nobody was sent lately. Other servers' are fetched again when somebody wants them."""
    before_ts = time.time_ns() // 1_000_000 - days * _DAY_MS
    body = {"before_ts": before_ts, "local": local, "keep_profiles": not profiles}
    answer = server_of(data_dir, config_path, url).ask("POST", f"{_PATH}/purge", body)
    click.echo(f"Deleted {answer['deleted']}.")


@media.command()
@click.option("--keep", is_flag=True, help="Leave them where they were, too.")
@server_command
def move(keep: bool, data_dir: Path, config_path: Path | None, url: str | None) -> None:
    """Bring all media to where they are kept now: set media.moving_from, and restart the media workers first.

    The server runs on meanwhile. May be interrupted, and called again, at any time."""
    server = server_of(data_dir, config_path, url)
    total: Counter[str] = Counter()
    broken: list[str] = []
    body: dict[str, Any] = {"part": 0, "after": "", "keep": keep}
    with click.progressbar(length=_PARTS, label="Moving media", item_show_func=moved) as progress:
        while body["part"] < _PARTS:
            step = server.ask("POST", f"{_PATH}/move", body, timeout_s=_MOVE_TIMEOUT_S)
            total.update({name: step[name] for name in ("moved", "bytes", "unknown")})
            broken += step["broken"]
            progress.update(step["part"] - body["part"], total)
            body |= {"part": step["part"], "after": step["after"]}
    click.echo(f"Moved {moved(total)}.")
    _say_what_stayed(total["unknown"], broken, keep)


def _say_what_stayed(unknown: int, broken: list[str], keep: bool) -> None:
    if unknown:
        click.echo(f"{unknown} files that belong to nobody stay behind; workers sweep them within two days.")
    if broken:
        fail(f"{', '.join(broken)}: broken where they were, and left there. Restore them, or delete their media")
    if not keep:
        click.echo("No media are left there: take media.moving_from out of the config, restart the media workers.")


def moved(total: Mapping[str, int] | None) -> str:
    """What was moved so far, in words."""
    return f"{total['moved']} contents, {size(total['bytes'])}" if total else ""


def selection(what: str) -> dict[str, str]:
    """What the server is to be asked about, by how it is written."""
    if what.startswith("mxc://"):
        return {"mxc": what}
    if what.startswith("@"):
        return {"user_id": what}
    if what.startswith("!"):
        return {"room_id": what}
    if len(what) == 64 and all(character in "0123456789abcdef" for character in what):
        return {"sha256": what}
    fail("give mxc://example.org/abc, @user:example.org, !room:example.org or a SHA-256 in hexadecimal")


def size(count: int) -> str:
    """Bytes in words."""
    value = float(count)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
