"""`viaduct master` and `viaduct worker`: one process of the split, from the shared config file."""

import importlib
from pathlib import Path

import click

from hs_common.process.options import PORT, config_option, fail, failing_with, load_config, overridden
from hs_common.process.signing_key import SigningKeyError

FRONT = "front"  # a worker without endpoints of its own, which forwards everything to workers of the right role


@click.command()
@config_option
@click.option("--call-port", type=PORT, help="Listen for workers on this port.")
@click.option("--metrics-port", type=PORT, help="Serve /metrics, /health and /ready on this port.")
@click.option("--drain-ms", type=click.IntRange(0, 10_000), help="As `listen.drain_ms` in the config file.")
@click.option("--dev", is_flag=True, help="As `dev = true` in the config file.")
@failing_with(SigningKeyError)
def master(config_path: Path, call_port: int | None, metrics_port: int | None, drain_ms: int | None, dev: bool) -> None:
    """Run the master, the only writer of the log. A second one stands by until the first one ends."""
    config = load_config(config_path)
    config = overridden(config, call_port=call_port, metrics_port=metrics_port, drain_ms=drain_ms, dev=dev)
    importlib.import_module("hs_master.main").run(config)


@click.command()
@click.argument("roles", nargs=-1, required=True, metavar="ROLE...")
@config_option
@click.option("--port", type=PORT, help="Listen for requests on this port.")
@click.option("--metrics-port", type=PORT, help="Serve /metrics, /health and /ready on this port.")
@click.option("--drain-ms", type=click.IntRange(0, 10_000), help="As `listen.drain_ms` in the config file.")
@click.option("--dev", is_flag=True, help="As `dev = true` in the config file.")
@failing_with(SigningKeyError)
def worker(
    roles: tuple[str, ...],
    config_path: Path,
    port: int | None,
    metrics_port: int | None,
    drain_ms: int | None,
    dev: bool,
) -> None:
    """Run a worker of the given roles; as many of each as wanted, all from the same config file."""
    known = [*importlib.import_module("hs_workers.roles").ROLES, FRONT]
    for role in roles:
        if role not in known:
            fail(f"there is no role {role!r}; the roles are {', '.join(known)}")
    config = load_config(config_path)
    config = overridden(config, port=port, metrics_port=metrics_port, drain_ms=drain_ms, dev=dev)
    importlib.import_module("hs_workers.main").run(config, roles)
