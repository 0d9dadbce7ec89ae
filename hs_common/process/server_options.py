"""Which server a command looks after: the one that `viaduct up` runs from a data folder, or that of a config file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from hs_common.config import Config, Secret, load
from hs_common.process.data_folder import DataFolder
from hs_common.process.options import CONFIG_VARIABLE, data_folder_option

_Command = TypeVar("_Command", bound=Callable[..., Any])


def server_options(command: _Command) -> _Command:
    """Adds --data-dir, and --config for servers that were not started by `up`."""
    option = click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        show_envvar=True,
        help="The config file, for a server that was not started by `up`.",
    )
    return data_folder_option(option(command))


def server_config(data_dir: Path, config_path: Path | None) -> Config:
    """The config of that server, with the embedded services that it has. Raises ConfigError."""
    config = load(config_path or DataFolder(data_dir).config_path, os.environ)
    database_url = config.database.url or Secret(noted(data_dir, config_path, "database-url"))
    redis_url = config.redis.url or Secret(noted(data_dir, config_path, "redis-url"))
    return replace(
        config,
        database=replace(config.database, url=database_url),
        redis=replace(config.redis, url=redis_url),
    )


def noted(data_dir: Path, config_path: Path | None, name: str) -> str:
    """What `viaduct up` noted in the data folder; empty for a server that it did not start."""
    return DataFolder(data_dir).noted(name) if config_path is None else ""
