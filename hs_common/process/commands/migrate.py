"""`viaduct migrate`: the schema, before any process of a new version starts."""

import secrets
from pathlib import Path

import click
import psycopg2

from hs_common.process.options import config_option, fail, failing_with, load_config, say
from hs_common.process.signing_key import make_signing_key
from hs_common.storage.migrate import MigrationError
from hs_common.storage.migrate import migrate as migrate_database


@click.command()
@config_option
@click.option("--make-key", is_flag=True, help="Also make the signing key, unless there is one.")
@failing_with(MigrationError, psycopg2.Error)
def migrate(config_path: Path, make_key: bool) -> None:
    """Bring the database's schema to this version. Safe while the version before it runs, and again."""
    config = load_config(config_path)
    if not config.database.url:
        fail("no database is configured: set database.url or DATABASE_URL")
    if make_key and make_signing_key(Path(config.server.signing_key_file), secrets.token_bytes):
        say(f"Made the signing key {config.server.signing_key_file}. Back it up.")
    try:
        done = migrate_database(config.database.url, say=say)
    except psycopg2.OperationalError as error:
        way_out = "Is it running, and is database.url (or DATABASE_URL) right?"
        fail(f"PostgreSQL cannot be used: {str(error).strip()}\n{way_out}")
    say(f"The schema is up to date ({len(done)} migrations applied now).")
