"""`viaduct admin create-token` and `viaduct admin tokens`: tokens that let their bearers register, where registration
reads them."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import psycopg2

from hs_common.config import ConfigError
from hs_common.process.blocking_queries import BlockingQueries, finished
from hs_common.process.options import fail, failing_with
from hs_common.process.server_options import server_config, server_options
from hs_common.storage import registration_tokens as stored
from hs_common.storage.registration_tokens import RegistrationToken, add_token

_DAY_MS = 24 * 3_600_000
_RANDOM_BYTES = 12  # 16 characters: cannot be guessed, can be read out


@click.command("create-token")
@click.option("--token", help="The token itself.  [default: a random one]")
@click.option("--uses", type=click.IntRange(min=1), help="How many accounts it is good for.  [default: any number]")
@click.option("--days", type=click.FloatRange(min=0), help="How long it is good.  [default: for ever]")
@server_options
@failing_with(ConfigError, psycopg2.Error)
def create_token(
    token: str | None, uses: int | None, days: float | None, data_dir: Path, config_path: Path | None
) -> None:
    """Create a token for registration. `registration.enabled` must be true for clients to use it."""
    config = server_config(data_dir, config_path)
    token = token or secrets.token_urlsafe(_RANDOM_BYTES)
    expires_at_ms = None if days is None else int(time.time() * 1000 + days * _DAY_MS)
    queries = BlockingQueries(config.database.url)
    try:
        if not finished(add_token(queries, token, uses, expires_at_ms)):
            fail("there is such a token already")
    finally:
        queries.close()
    click.echo(token)


@click.group()
def tokens() -> None:
    """Look after registration tokens. `create-token` makes them."""


@tokens.command("list")
@server_options
@failing_with(ConfigError, psycopg2.Error)
def list_all(data_dir: Path, config_path: Path | None) -> None:
    """List the tokens, one a line."""
    queries = BlockingQueries(server_config(data_dir, config_path).database.url)
    try:
        for token in finished(stored.tokens(queries, None, int(time.time() * 1000))):
            click.echo(token_line(token))
    finally:
        queries.close()


def token_line(token: RegistrationToken) -> str:
    """What the operator is told of a token."""
    uses = (
        f"used {token.completed} times"
        if token.uses_allowed is None
        else (f"used {token.completed} of {token.uses_allowed} times")
    )
    ends = "" if token.expires_at_ms is None else datetime.fromtimestamp(token.expires_at_ms / 1000, UTC).isoformat()
    return "\t".join((token.token, uses, f"ends {ends}" if ends else "")).rstrip()


@tokens.command()
@click.argument("token")
@server_options
@failing_with(ConfigError, psycopg2.Error)
def delete(token: str, data_dir: Path, config_path: Path | None) -> None:
    """End TOKEN. Who registered with it keeps his account."""
    queries = BlockingQueries(server_config(data_dir, config_path).database.url)
    try:
        if not finished(stored.delete_token(queries, token)):
            fail("there is no such token")
    finally:
        queries.close()
    click.echo("The token is deleted.")
