"""The folder of `viaduct up`: config, signing key, database, and the lock that keeps a second server out.

viaduct.toml   the config, made with safe defaults, the operator's from then on
signing.key    the server's identity
postgres/      the embedded database, or a link to it
media/         what users upload
lock           held while a server runs here; the process id is in it
url            where the server that runs here, or ran last, is reached
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from hs_common.config import Config, ConfigError, first_file, load
from hs_common.process.signing_key import make_signing_key

CONFIG_NAME = "viaduct.toml"
_KEY_NAME = "signing.key"


class DataFolderError(Exception):
    """The folder cannot be used; the text says why and what to do."""


class DataFolder:
    """One data folder, locked from `open` until the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: TextIO | None = None

    def open(self) -> None:
        """Make the folder if it is missing and lock it. Raises DataFolderError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+", encoding="ascii")
        except OSError as error:
            raise DataFolderError(
                f"The data folder {self.path} cannot be used: {error.strerror}. Name another with --data-dir."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "?"
            lock.close()
            raise DataFolderError(f"Process {holder} already runs a server on {self.path}.") from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    @property
    def config_path(self) -> Path:
        return self.path / CONFIG_NAME

    def make_config(self, server_name: str, port: int | None, random_bytes: Callable[[int], bytes]) -> bool:
        """Write a first config with secrets of its own, readable by us alone; answers whether there was none."""
        if self.config_path.exists():
            return False
        text = first_file(
            {
                "server.name": server_name,
                "server.signing_key_file": _KEY_NAME,
                "cluster.secret": random_bytes(32).hex(),
                "cluster.id": f"viaduct-{random_bytes(4).hex()}",
                "registration.shared_secret": random_bytes(32).hex(),
                **({} if port is None else {"listen.port": port}),
            }
        )
        descriptor = os.open(self.config_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return True

    def load_config(self, server_name: str | None) -> Config:
        """The folder's config. Raises ConfigError, also when `server_name` is not the one that the folder is of."""
        config = load(self.config_path, os.environ)
        if server_name is not None and server_name != config.server.name:
            raise ConfigError(
                f"{self.path} belongs to the server {config.server.name}; a server's name never changes. "
                "Name another folder with --data-dir."
            )
        return config

    def make_signing_key(self, config: Config, random_bytes: Callable[[int], bytes]) -> bool:
        """Make the server's key unless there is one; answers whether it did."""
        return make_signing_key(Path(config.server.signing_key_file), random_bytes)

    def note(self, name: str, text: str) -> None:
        """Remember "url", "database-url" or "redis-url" of the running server, for the commands that look after it."""
        (self.path / name).write_text(text + "\n", encoding="utf-8")

    def noted(self, name: str) -> str:
        """What `note` wrote; empty if it never did."""
        try:
            return (self.path / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
