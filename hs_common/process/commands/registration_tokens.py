"""`viaduct admin create-token`: tokens that let their bearers register, written where registration reads them."""

import secrets
import time
from pathlib import Path

import click
import psycopg2

from hs_common.config import ConfigError
from hs_common.process.blocking_queries import BlockingQueries, finished
from hs_common.process.options import fail, failing_with
from hs_common.process.server_options import server_config, server_options
from hs_common.storage.registration_tokens import add_token

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
