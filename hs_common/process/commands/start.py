"""`viaduct up`: everything on this machine from nothing, in one process or as the smallest split."""

import os
import secrets
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import click
import psycopg2
from msgspec.structs import replace

from hs_common.config import Config, ConfigError, Secret, load
from hs_common.config.identity import DEFAULT_SERVER_NAME
from hs_common.process.data_folder import DataFolder, DataFolderError
from hs_common.process.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from hs_common.process.embedded_redis import EmbeddedRedis, EmbeddedRedisError
from hs_common.process.embedded_services import EmbeddedServices
from hs_common.process.greeting import Greeting
from hs_common.process.local_split import WORKERS, run_split
from hs_common.process.options import PORT, data_folder_option, failing_with, overridden, say
from hs_common.process.programs import ProgramNotFoundError
from hs_common.process.role_count import RoleCount
from hs_common.storage.migrate import MigrationError, migrate

_DATABASE_NAME = "viaduct"

_DEV_WARNING = """\
************************************************************************
*  --dev: ANYBODY who can reach this server may register, nothing is    *
*  rate limited, and passwords are hashed cheaply. Never for real use.  *
************************************************************************"""

_ERRORS = (
    *(ConfigError, DataFolderError, EmbeddedPostgresError, EmbeddedRedisError, MigrationError),
    *(ProgramNotFoundError, psycopg2.OperationalError),
)


@click.command()
@data_folder_option
@click.option("--port", type=PORT, help="Listen on this port.  [default: the config's, 8008]")
@click.option("--server-name", help="The server's name, when the data folder is new.  [default: localhost]")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Use this config, not the folder's own.")
@click.option("--dev", is_flag=True, help="Open registration, no rate limits: for tests and demonstrations only.")
@click.option("--split", is_flag=True, help="Run master, workers and Redis as separate processes.")
@click.option("--masters", type=click.IntRange(1, 4), default=1, help="With --split: more than one means standbys.")
@click.option(
    "--scale", multiple=True, type=RoleCount(WORKERS), help="With --split: another number of workers of a role."
)
@failing_with(*_ERRORS)
def up(
    data_dir: Path,
    port: int | None,
    server_name: str | None,
    config_path: Path | None,
    dev: bool,
    split: bool,
    masters: int,
    scale: tuple[tuple[str, int], ...],
) -> None:
    """Run a whole server here, with an embedded database unless one is configured. Ctrl-C stops it."""
    folder = DataFolder(data_dir)
    folder.open()
    config = overridden(_config(folder, config_path, server_name, port), port=port, drain_ms=0, dev=dev)
    _refuse_taken_port(config)
    if config.dev:
        click.secho(_DEV_WARNING, fg="red", bold=True, err=True)
    with ExitStack() as running:
        services = EmbeddedServices(say)
        config = _with_database(config, folder, running, services)
        migrate(config.database.url, say=say)
        folder.make_signing_key(config, secrets.token_bytes)
        folder.note("redis-url", "")
        greeting = Greeting(config, folder)
        if split:
            config = _with_redis(config, folder, running, services)
            services.tell()

            def look() -> None:
                services.look()
                greeting.look()

            workers = {**WORKERS, **dict(scale)}
            path = config_path or folder.config_path
            run_split(config, path, masters=masters, workers=workers, look=look, greeting=greeting)
        else:
            greeting.when_it_answers()
            _run_all_in_one(config)
    say("Stopped.")


def _config(folder: DataFolder, config_path: Path | None, server_name: str | None, port: int | None) -> Config:
    if config_path is not None:
        return load(config_path, os.environ)
    if folder.make_config(server_name or DEFAULT_SERVER_NAME, port, secrets.token_bytes):
        say(f"Made the config {folder.config_path}.")
    return folder.load_config(server_name)


def _refuse_taken_port(config: Config) -> None:
    """Before anything is started: the usual mistake deserves its own sentence."""
    address, port = config.listen.address, config.listen.port
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ConfigError(
                f"Cannot listen on {address} port {port}: {error.strerror}. Choose with --port."
            ) from None


def _with_database(config: Config, folder: DataFolder, running: ExitStack, services: EmbeddedServices) -> Config:
    """The configured database, or the embedded one, which then runs until `running` is left."""
    if config.database.url:
        return config
    server = EmbeddedPostgres(folder.path, say=say)
    running.callback(server.stop)
    server.start()
    services.add("postgres", server, "on a socket")
    server.create_database(_DATABASE_NAME)
    url = server.url(_DATABASE_NAME)
    folder.note("database-url", url)
    return replace(config, database=replace(config.database, url=Secret(url)))


def _with_redis(config: Config, folder: DataFolder, running: ExitStack, services: EmbeddedServices) -> Config:
    """The configured Redis, or a private one, which then runs until `running` is left."""
    if config.redis.url:
        return config
    server = EmbeddedRedis(say=say)
    running.callback(server.stop)
    server.start()
    services.add("redis", server, f"port {server.port}")
    folder.note("redis-url", server.url())
    return replace(config, redis=replace(config.redis, url=Secret(server.url())))


def _run_all_in_one(config: Config) -> None:
    # By name, as the one file that sees master and workers stands above this package.
    import importlib

    sys.stderr.flush()
    importlib.import_module("hs_master.all_in_one").run(config)
