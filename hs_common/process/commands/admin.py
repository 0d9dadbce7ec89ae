"""`viaduct admin`: what an operator asks of a running server.

Creating accounts goes over HTTP with the shared secret of the config, as other servers' tools do, so it works from any
machine that has the config file, and for every layout of processes.
"""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import click

from hs_common.config import Config, ConfigError
from hs_common.process.commands.admin_appservices import appservice
from hs_common.process.commands.admin_federation import federation
from hs_common.process.commands.admin_media import media
from hs_common.process.commands.admin_rooms import reports, rooms
from hs_common.process.commands.admin_users import users
from hs_common.process.commands.registration_tokens import create_token, tokens
from hs_common.process.commands.rotate_key import rotate_key
from hs_common.process.greeting import base_url
from hs_common.process.options import fail, failing_with
from hs_common.process.server_options import noted, server_config, server_options

_REGISTER_PATH = "/_synapse/admin/v1/register"
_TIMEOUT_S = 30


class ServerError(Exception):
    """The running server refused, or does not run; the text says which."""


@click.group()
def admin() -> None:
    """Look after a running server."""


admin.add_command(create_token)


admin.add_command(appservice)


admin.add_command(users)


admin.add_command(media)
admin.add_command(rooms)
admin.add_command(federation)


admin.add_command(reports)


admin.add_command(tokens)


admin.add_command(rotate_key)


@admin.command("create-user")
@click.argument("name")
@click.option("--admin", "is_admin", is_flag=True, help="The account may administer the server.")
@click.option("--password", help="Its password; asked for when missing.")
@server_options
@click.option("--url", help="Where the server is reached.  [default: where it last listened]")
@failing_with(ConfigError, ServerError)
def create_user(
    name: str, is_admin: bool, password: str | None, data_dir: Path, config_path: Path | None, url: str | None
) -> None:
    """Create the account NAME, such as alice."""
    config = server_config(data_dir, config_path)
    if not config.registration.shared_secret:
        fail("set registration.shared_secret (or shared_secret_file) in the config, and restart the server")
    if password is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    target = url or noted(data_dir, config_path, "url") or base_url(config)
    answer = register(target, config, name, password, is_admin)
    click.echo(f"Created {answer['user_id']}.")


def register(url: str, config: Config, name: str, password: str, is_admin: bool) -> dict[str, Any]:
    """Register an account with the shared secret; the answer is that of /register. Raises ServerError."""
    nonce = _ask(url + _REGISTER_PATH, None)["nonce"]
    proof = registration_proof(config.registration.shared_secret, nonce, name, password, is_admin)
    body = {"nonce": nonce, "username": name, "password": password, "admin": is_admin, "mac": proof}
    return _ask(url + _REGISTER_PATH, body)


def registration_proof(secret: str, nonce: str, name: str, password: str, is_admin: bool) -> str:
    """The HMAC-SHA1, in hexadecimal, of the parts with NUL between them."""
    parts = [nonce, name, password, "admin" if is_admin else "notadmin"]
    return hmac.new(secret.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()


def _ask(url: str, body: dict[str, Any] | None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=_TIMEOUT_S) as response:
            answer = json.load(response)
    except HTTPError as error:
        raise ServerError(_reason(error)) from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise ServerError(f"no server answers at {url.partition('/_')[0]} ({reason}). Does it run?") from None
    if not isinstance(answer, dict):
        raise ServerError(f"{url} does not answer as a homeserver does")
    return answer


def _reason(error: HTTPError) -> str:
    try:
        answer = json.load(error)
        return f"the server refused: {answer['error']} ({answer['errcode']})"
    except (ValueError, KeyError, TypeError):
        return f"the server refused: {error}"
