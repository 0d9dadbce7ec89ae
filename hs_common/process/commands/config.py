"""`viaduct config`: the reference of all options, and the check of a file."""

import os
from pathlib import Path

import click

from hs_common.config import ConfigError, load, reference
from hs_common.process.options import fail


@click.command()
@click.option("--check", "path", type=click.Path(path_type=Path), help="Check this file instead of printing.")
def config(path: Path | None) -> None:
    """Print every option with its default and what it means: a config file to start from. Or check one."""
    if path is None:
        click.echo(reference(), nl=False)
        return
    try:
        checked = load(path, os.environ)
    except ConfigError as error:
        fail(str(error))
    click.echo(f"{path} is good: server {checked.server.name}.")
