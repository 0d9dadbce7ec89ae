"""What the Synapse of tests and benchmarks is told, by its public documentation: YAML files, written as JSON.

Anybody may register, nothing is rate limited, passwords are hashed cheaply, presence is on and caches are as they
come, so that neither a play nor a measurement meets anything but the server's own work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

_MANY: Final = {"per_second": 1_000_000, "burst_count": 1_000_000}
_LOOPBACK: Final = ["127.0.0.1"]


@dataclass(frozen=True, slots=True)
class Tls:
    """How it speaks with other servers."""

    port: int
    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class Worker:
    """A further process. `port` is where clients ask it; None for one that nobody asks."""

    name: str
    port: int | None = None
    replication_port: int | None = None  # of one that writes a stream


@dataclass(frozen=True, slots=True)
class Split:
    """The processes beside the first one, and what ties them together."""

    replication_port: int
    redis_port: int
    workers: Sequence[Worker]
    persister: str
    notifier: str  # of application services


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one server. Without a `database_url` it keeps its data in a file."""

    name: str
    port: int
    folder: Path
    log_level: str
    database_url: str | None
    tls: Tls | None
    registrations: Sequence[Path]
    split: Split | None


def shared(settings: Settings) -> dict[str, Any]:
    """What all its processes read."""
    folder = settings.folder
    return {
        "server_name": settings.name,
        "pid_file": str(folder / "pid"),
        "report_stats": False,
        "listeners": _listeners(settings),
        "database": _database(settings),
        "log_config": str(folder / "log.yaml"),
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "app_service_config_files": [str(path) for path in settings.registrations],
        "ip_range_blocklist": [],
        "ip_range_whitelist": _LOOPBACK,
        "registration_shared_secret": "secret",
        "macaroon_secret_key": "secret",
        "form_secret": "secret",
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "bcrypt_rounds": 4,
        "presence": {"enabled": True},
        "experimental_features": {"msc3266_enabled": True},
        **_open_to_all(),
        **(_federation(settings.tls) if settings.tls else {}),
        **(_divided(settings.split) if settings.split else {}),
    }


def of_worker(worker: Worker, folder: Path) -> dict[str, Any]:
    """What one worker reads beside that."""
    listeners = [_listener(port, "client") for port in [worker.port] if port]
    listeners += [_listener(port, "replication") for port in [worker.replication_port] if port]
    return {
        "worker_app": "synapse.app.generic_worker",
        "worker_name": worker.name,
        "worker_listeners": listeners,
        "worker_log_config": str(folder / "log.yaml"),
    }


def logging(settings: Settings) -> dict[str, Any]:
    """One file for all processes."""
    path = str(settings.folder / "homeserver.log")
    handler = {"class": "logging.FileHandler", "formatter": "plain", "filename": path}
    return {
        "version": 1,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {"file": handler},
        "root": {"level": settings.log_level, "handlers": ["file"]},
        "disable_existing_loggers": False,
    }


def _listeners(settings: Settings) -> list[dict[str, Any]]:
    found = [_listener(settings.port, "client")]
    if settings.tls:
        found.append({**_listener(settings.tls.port, "federation", "keys", "media"), "tls": True})
    if settings.split:
        found.append(_listener(settings.split.replication_port, "replication"))
    return found


def _listener(port: int, *resources: str) -> dict[str, Any]:
    return {"port": port, "type": "http", "bind_addresses": _LOOPBACK, "resources": [{"names": list(resources)}]}


def _database(settings: Settings) -> dict[str, Any]:
    if settings.database_url is None:
        return {"name": "sqlite3", "args": {"database": str(settings.folder / "homeserver.db")}}
    url = urlsplit(settings.database_url)
    query = parse_qs(url.query)
    return {
        "name": "psycopg2",
        "args": {
            "user": url.username,
            "dbname": url.path.removeprefix("/"),
            "host": query["host"][0],
            "port": int(query["port"][0]),
            "cp_min": 5,
            "cp_max": 10,
        },
    }


def _open_to_all() -> dict[str, Any]:
    return {
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "allow_public_rooms_over_federation": True,
        "room_list_publication_rules": [{"action": "allow"}],
        "rc_message": _MANY,
        "rc_registration": _MANY,
        "rc_room_creation": _MANY,
        "rc_presence": {"per_user": _MANY},
        "rc_media_create": _MANY,
        "rc_login": {"address": _MANY, "account": _MANY, "failed_attempts": _MANY},
        "rc_joins": {"local": _MANY, "remote": _MANY},
        "rc_joins_per_room": _MANY,
        "rc_invites": {"per_room": _MANY, "per_user": _MANY, "per_issuer": _MANY},
        "rc_admin_redaction": _MANY,
        "rc_federation": {
            "window_size": 1000,
            "sleep_limit": 10_000,
            "sleep_delay": 0,
            "reject_limit": 10_000,
            "concurrent": 100,
        },
    }


def _federation(tls: Tls) -> dict[str, Any]:
    return {
        "tls_certificate_path": str(tls.certificate),
        "tls_private_key_path": str(tls.key),
        "federation_custom_ca_list": [str(tls.ca)],
        "federation_ip_range_blocklist": [],
    }


def _divided(split: Split) -> dict[str, Any]:
    processes = {"main": split.replication_port} | {
        worker.name: worker.replication_port for worker in split.workers if worker.replication_port
    }
    return {
        "redis": {"enabled": True, "host": "127.0.0.1", "port": split.redis_port},
        "worker_replication_secret": "secret",
        "instance_map": {name: {"host": "127.0.0.1", "port": port} for name, port in processes.items()},
        "stream_writers": {"events": [split.persister]},
        "notify_appservices_from_worker": split.notifier,
    }
