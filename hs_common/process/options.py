"""What several commands take: the config file, and the few settings that a command line may say differently."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from msgspec.structs import replace

from hs_common.config import Config, ConfigError, for_development, load

CONFIG_VARIABLE = "VIADUCT_CONFIG"
DEFAULT_CONFIG = Path("viaduct.toml")
DEFAULT_DATA_FOLDER = Path("viaduct-data")
_Command = TypeVar("_Command", bound=Callable[..., Any])

PORT = click.IntRange(0, 65535)


def config_option(command: _Command) -> _Command:
    """Adds --config, which VIADUCT_CONFIG replaces."""
    option = click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        default=DEFAULT_CONFIG,
        show_default=True,
        show_envvar=True,
        help="The config file.",
    )
    return option(command)


def data_folder_option(command: _Command) -> _Command:
    """Adds --data-dir."""
    option = click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_DATA_FOLDER,
        show_default=True,
        help="The folder of `viaduct up`: config, signing key, embedded database.",
    )
    return option(command)


def say(text: str) -> None:
    """Progress and results for the person at the terminal: on stderr, so that stdout holds only what was asked for."""
    click.echo(text, err=True)


def fail(text: str) -> NoReturn:
    """End with a sentence and status 1."""
    click.echo(f"viaduct: {text}", err=True)
    sys.exit(1)


def failing_with(*errors: type[Exception]) -> Callable[[_Command], _Command]:
    """The decorated command ends with the error's sentence rather than with a traceback."""

    def decorate(command: _Command) -> _Command:
        @functools.wraps(command)
        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return command(*arguments, **options)
            except errors as error:
                fail(str(error))

        return call  # type: ignore[return-value]

    return decorate


def load_config(path: Path) -> Config:
    """The config file with the environment's URLs; ends the program with a sentence when it cannot be used."""
    try:
        return load(path, os.environ)
    except ConfigError as error:
        fail(str(error))


def overridden(
    config: Config,
    *,
    port: int | None = None,
    drain_ms: int | None = None,
    call_port: int | None = None,
    metrics_port: int | None = None,
    dev: bool = False,
) -> Config:
    """The config with what the command line says differently; None: nothing."""
    listen = {"port": port, "drain_ms": drain_ms}
    changed = replace(
        config,
        listen=replace(config.listen, **_given(listen)),
        cluster=replace(config.cluster, **_given({"call_port": call_port})),
        metrics=replace(config.metrics, **_given({"port": metrics_port})),
    )
    return for_development(changed) if dev else changed


def _given(values: dict[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in values.items() if value is not None}
