"""`viaduct doctor`: looks at a server from outside and says what is wrong, each with the way out."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import psycopg2
import redis
from psycopg2.extensions import connection as Connection

from hs_common.config import Config, ConfigError
from hs_common.process.commands.doctor_media import examine_media
from hs_common.process.commands.finding import Finding
from hs_common.process.options import failing_with
from hs_common.process.server_options import server_config, server_options
from hs_common.process.signing_key import SigningKeyError, read_signing_key
from hs_common.storage.migrate import applied, known_migrations

_CLOCK_TOLERANCE_S = 2.0  # tokens and events carry times; more than this is seen by people
_LAG_TOLERANCE_MS = 10_000
_SEEN_TOLERANCE_S = 15.0  # members write their row every 2 s
_CONNECT_TIMEOUT_S = 5
_MINIMUM_POSTGRES = 130_000


@click.command()
@server_options
@failing_with(ConfigError)
def doctor(data_dir: Path, config_path: Path | None) -> None:
    """Look at the config, signing key, database, Redis, media and processes, and say what is wrong."""
    findings = list(examine(server_config(data_dir, config_path)))
    for finding in findings:
        click.secho(f"{'good ' if finding.good else 'WRONG'}  {finding.sentence}", fg=None if finding.good else "red")
    if not all(finding.good for finding in findings):
        sys.exit(1)


def examine(config: Config) -> Iterator[Finding]:
    """All findings, the ones that others depend on first."""
    yield from _signing_key(config)
    yield from _redis(config)
    yield from examine_media(config.media)
    try:
        connection = psycopg2.connect(config.database.url, connect_timeout=_CONNECT_TIMEOUT_S)
    except psycopg2.Error as error:
        yield Finding(False, f"PostgreSQL cannot be reached: {str(error).strip()}")
        return
    try:
        connection.autocommit = True
        yield Finding(True, "PostgreSQL is reached")
        for check in _DATABASE_CHECKS:
            try:
                yield from check(connection)
            except psycopg2.errors.UndefinedTable:
                yield Finding(False, "the database has no schema, or not all of it: run `viaduct migrate`")
                return
    finally:
        connection.close()


def _signing_key(config: Config) -> Iterator[Finding]:
    path = Path(config.server.signing_key_file)
    try:
        key = read_signing_key(path)
    except SigningKeyError as error:
        yield Finding(False, str(error))
        return
    yield Finding(True, f"the signing key is {key.key_id}")
    if path.stat().st_mode & 0o077:
        yield Finding(False, f"{path} can be read by others: chmod 600 {path}")


def _redis(config: Config) -> Iterator[Finding]:
    if not config.redis.url:
        yield Finding(True, "no Redis is configured: workers poll PostgreSQL")
        return
    client = redis.Redis.from_url(config.redis.url, socket_connect_timeout=_CONNECT_TIMEOUT_S)
    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except redis.ResponseError:  # hosted ones forbid CONFIG
        policy = "noeviction"
    except redis.RedisError as error:
        yield Finding(False, f"Redis cannot be reached, so workers poll PostgreSQL: {error}")
        return
    finally:
        client.close()
    yield Finding(True, "Redis is reached")
    if policy != "noeviction":
        yield Finding(False, f"Redis evicts ({policy}): set maxmemory-policy noeviction")


def _settings(connection: Connection) -> Iterator[Finding]:
    settings = dict(_rows(connection, "SELECT name, setting FROM pg_settings"))
    version = int(settings["server_version_num"])
    yield Finding(version >= _MINIMUM_POSTGRES, f"PostgreSQL is version {settings['server_version']} (13 or newer)")
    yield Finding(settings["server_encoding"] == "UTF8", f"its encoding is {settings['server_encoding']} (UTF8)")
    for name in ("fsync", "full_page_writes"):
        if settings[name] != "on":
            yield Finding(False, f"{name} is off: a crash can lose or break what users were told is stored")
    ((collation,),) = _rows(connection, "SELECT datcollate FROM pg_database WHERE datname = current_database()")
    yield Finding(collation in ("C", "C.UTF-8", "POSIX"), f"its collation is {collation} (C)")
    replicas = settings.get("synchronous_standby_names") or ""
    kind = f"synchronous to {replicas}" if replicas else "not synchronous: a fail-over may lose the last moments"
    yield Finding(True, f"replication is {kind}")


def _clock(connection: Connection) -> Iterator[Finding]:
    before = time.time()
    ((server,),) = _rows(connection, "SELECT extract(epoch FROM clock_timestamp())")
    difference = abs(float(server) - (before + time.time()) / 2)
    yield Finding(
        difference < _CLOCK_TOLERANCE_S, f"this machine's clock and PostgreSQL's differ by {difference:.1f} s"
    )


def _schema(connection: Connection) -> Iterator[Finding]:
    done = applied(connection)
    known = known_migrations()
    missing = [migration.name for migration in known if migration.number not in done]
    newer = [done[number] for number in sorted(done.keys() - {migration.number for migration in known})]
    if missing:
        yield Finding(False, f"the schema lacks {', '.join(missing)}: run `viaduct migrate`")
    elif newer:
        yield Finding(True, f"the schema is of a newer version, which has added {', '.join(newer)}")
    else:
        yield Finding(True, "the schema is up to date")


def _processes(connection: Connection) -> Iterator[Finding]:
    leaders = _rows(connection, "SELECT epoch, address FROM leader")
    if leaders and leaders[0][1]:
        yield Finding(True, f"the master at {leaders[0][1]} leads, epoch {leaders[0][0]}")
    else:
        yield Finding(False, "no master leads: start one")
    members = _rows(
        connection,
        "SELECT roles, address, http_port, lag_ms, extract(epoch FROM clock_timestamp() - seen)"
        " FROM members ORDER BY 1, 2",
    )
    for roles, address, port, lag_ms, silent_s in members:
        host, _, call_port = address.rpartition(":")
        name = f"{'+'.join(roles)} at {host or address}:{port or call_port}"
        if silent_s > _SEEN_TOLERANCE_S:
            yield Finding(True, f"{name} was last seen {float(silent_s):.0f} s ago")
        else:
            yield Finding(lag_ms < _LAG_TOLERANCE_MS, f"{name} lives and is {lag_ms} ms behind the log")


def _rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


_DATABASE_CHECKS: tuple[Callable[[Connection], Iterator[Finding]], ...] = (_settings, _clock, _schema, _processes)
