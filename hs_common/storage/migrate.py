"""Brings a database's schema to this program's: applies `migrations/NNNN_*.sql` in order, each once.

Rules: one migrator at a time (an advisory lock); each file is one transaction, unless its first line is
`-- outside a transaction` (for CREATE INDEX CONCURRENTLY: such a file holds one statement that may be repeated). A lock
that is not free within a second is left alone and tried again, so that a waiting ALTER never queues the commits of a
running server behind it. A file that was applied is never edited: its checksum is kept beside its number, and another
is refused. Synchronous: it runs before any reactor.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Raw

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = (0x76696164, 2)  # "viad", 2; the lock of leaders is number 1
LOCK_TIMEOUT = "1s"
LOCK_ATTEMPTS = 30  # with a second's pause between: a busy server has a free moment within a minute
_OUTSIDE_A_TRANSACTION = "-- outside a transaction"
_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")


class MigrationError(Exception):
    """The schema cannot be brought to this program's; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Of the file's text."""
        return sha256(self.sql.encode()).hexdigest()


def known_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """The migrations that this program has, in order; their numbers are 1, 2, 3, …"""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        assert match is not None, f"{path.name} is not named NNNN_words.sql"
        found.append(Migration(int(match[1]), path.name, path.read_text(encoding="utf-8")))
    assert [m.number for m in found] == list(range(1, len(found) + 1)), "migrations are numbered without gaps"
    return found


def migrate(
    url: str,
    *,
    folder: Path = MIGRATIONS,
    sleep: Callable[[float], None] = time.sleep,
    say: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Applies what is missing and answers the names of the files applied, in order.

    Raises MigrationError for a database newer than this program, or made by files that were edited since, and
    psycopg2.Error when the database cannot serve.
    """
    migrations = known_migrations(folder)
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        _prepare(connection)
        done = applied(connection)
        _refuse_newer(done, migrations)
        _refuse_edited(connection, migrations)
        missing = [migration for migration in migrations if migration.number not in done]
        for migration in missing:
            say(f"migrating the database: {migration.name}")
            _apply_with_patience(connection, migration, sleep)
        return [migration.name for migration in missing]
    finally:
        connection.close()  # and with it the advisory lock


def applied(connection: Raw) -> dict[int, str]:
    """The numbers and names of the migrations that the database has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT number, name FROM schema_migrations")
        return dict(cursor.fetchall())


def _prepare(connection: Raw) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", MIGRATION_LOCK)
        cursor.execute("SET client_min_messages = warning")
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL,"
            " at timestamptz NOT NULL DEFAULT clock_timestamp(), checksum text)"
        )
        # Tables of the first versions have no checksums. Looked up first: the ALTER would wait for a backup each time.
        cursor.execute(
            "SELECT 1 FROM pg_attribute WHERE attrelid = 'schema_migrations'::regclass AND attname = 'checksum'"
        )
        if cursor.fetchone() is None:
            cursor.execute("ALTER TABLE schema_migrations ADD COLUMN checksum text")


def _refuse_newer(done: dict[int, str], migrations: list[Migration]) -> None:
    newer = sorted(set(done) - {migration.number for migration in migrations})
    if newer:
        raise MigrationError(
            f"the database has {done[newer[-1]]}, which this program does not know: a newer version has used it. "
            "Start that version again, or restore a backup made before the upgrade."
        )


def _refuse_edited(connection: Raw, migrations: list[Migration]) -> None:
    """What was applied without a checksum is taken to be what the file is now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT number, checksum FROM schema_migrations")
        checksums = dict(cursor.fetchall())
        for migration in migrations:
            known = checksums.get(migration.number, migration.checksum)
            if known is None:
                record = "UPDATE schema_migrations SET checksum = %s WHERE number = %s"
                cursor.execute(record, (migration.checksum, migration.number))
            elif known != migration.checksum:
                raise MigrationError(
                    f"{migration.name} is not the file that was applied to this database: it was edited since. "
                    "Install the program again as it was published; changes of the schema belong in a new file."
                )


def _apply_with_patience(connection: Raw, migration: Migration, sleep: Callable[[float], None]) -> None:
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            _apply(connection, migration)
            return
        except psycopg2.errors.LockNotAvailable as error:
            if attempt == LOCK_ATTEMPTS:
                raise MigrationError(f"{migration.name}: a table is in use all the time; try again later") from error
            sleep(1.0)


def _apply(connection: Raw, migration: Migration) -> None:
    record = "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)"
    row = (migration.number, migration.name, migration.checksum)
    with connection.cursor() as cursor:
        if migration.sql.startswith(_OUTSIDE_A_TRANSACTION):
            cursor.execute(migration.sql)
            cursor.execute(record, row)
            return
        cursor.execute("BEGIN")
        try:
            cursor.execute(migration.sql)
            cursor.execute(record, row)
            cursor.execute("COMMIT")
        except psycopg2.Error:
            if not connection.closed:
                cursor.execute("ROLLBACK")
            raise
