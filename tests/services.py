"""The PostgreSQL and the Redis that tests use: those that the environment names, or private ones started here.

A test gets a database of its own, copied from a template that holds the current schema. The template's name carries
a hash of the migrations, so that a shared server keeps one per state of the schema and no run waits for another.
"""

import hashlib
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

import hs_common.storage
from hs_common.process.embedded_postgres import EmbeddedPostgres
from hs_common.process.embedded_redis import EmbeddedRedis
from hs_common.storage.migrate import migrate

DATABASE_VARIABLE = "VIADUCT_TEST_DATABASE_URL"
REDIS_VARIABLE = "VIADUCT_TEST_REDIS_URL"
_TEMPLATE_LOCK = 7_200_401  # any number: an advisory lock on the maintenance database of test servers
_STORAGE = Path(hs_common.storage.__file__).parent


def say(text: str) -> None:
    """Progress of a service's start; shown by pytest only when something fails."""
    sys.stderr.write(text + "\n")


class TestPostgres:
    """A PostgreSQL server that hands out migrated databases."""

    __test__ = False

    def __init__(self) -> None:
        self._given_url = os.environ.get(DATABASE_VARIABLE)
        self._folder = None if self._given_url else tempfile.TemporaryDirectory(prefix="viaduct-test-")
        self._server = EmbeddedPostgres(Path(self._folder.name), say=say, scratch=True) if self._folder else None
        self._numbers = itertools.count()
        self._template = ""

    def __enter__(self) -> Self:
        if self._folder is not None and self._server is not None:
            Path(self._folder.name).chmod(0o711)  # so that root's unprivileged user can enter
            self._server.start()
        self._template = self._make_template()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None and self._server is not None:
            self._server.stop()
            self._folder.cleanup()

    def url(self, database: str) -> str:
        """The URL of a database of this server."""
        if self._server is not None:
            return self._server.url(database)
        assert self._given_url is not None
        return urlsplit(self._given_url)._replace(path=f"/{database}").geturl()

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a fresh database, with the schema or empty; dropped afterwards, whoever is still connected."""
        name = f"viaduct_test_{os.getpid()}_{next(self._numbers)}"
        template = self._template if migrated else "template0"
        with self._maintenance() as connection:
            _execute(connection, "CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield self.url(name)
        finally:
            with self._maintenance() as connection:
                _execute(connection, "DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def _maintenance(self) -> Iterator[Connection]:
        connection = psycopg2.connect(self.url("postgres"))
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def _make_template(self) -> str:
        name = f"viaduct_template_{_schema_hash()}"
        with self._maintenance() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (_TEMPLATE_LOCK,))
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                unfinished = f"{name}_{os.getpid()}"
                _execute(connection, "CREATE DATABASE {} TEMPLATE template0", unfinished)
                migrate(self.url(unfinished))
                _execute(connection, "ALTER DATABASE {} RENAME TO {}", unfinished, name)
        return name


class TestRedis:
    """A Redis server that hands out empty numbered databases."""

    __test__ = False

    def __init__(self) -> None:
        self._given_url = os.environ.get(REDIS_VARIABLE)
        self._server = None if self._given_url else EmbeddedRedis(say=say, maximum_memory="256mb", databases=1000)
        self._numbers = itertools.count(os.getpid())

    def __enter__(self) -> Self:
        if self._server is not None:
            self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop()

    def url(self) -> str:
        """The URL of a database that no other test of this process has now."""
        if self._server is not None:
            return self._server.url(next(self._numbers) % 1000)
        assert self._given_url is not None
        base = self._given_url.rstrip("/")
        return f"{base}/{next(self._numbers) % 16}"  # Redis has 16 unless told otherwise


def _schema_hash() -> str:
    digest = hashlib.sha256()
    for path in [*sorted((_STORAGE / "migrations").glob("*.sql")), _STORAGE / "migrate.py"]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _execute(connection: Connection, statement: str, *names: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
