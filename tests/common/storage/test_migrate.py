"""Migrations: in order, once, one migrator at a time, never against a newer database."""

import threading
from pathlib import Path

import psycopg2
import pytest

from hs_common.storage import migrate as migrate_module
from hs_common.storage.migrate import MigrationError, known_migrations, migrate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (a int); INSERT INTO first VALUES (1);")
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE first ADD COLUMN b text;")
    return tmp_path


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_the_schema_of_this_program_applies_once(empty_database_url: str) -> None:
    said: list[str] = []
    assert migrate(empty_database_url, say=said.append) == [m.name for m in known_migrations()]
    assert len(said) == len(known_migrations())
    assert migrate(empty_database_url) == []
    assert query(empty_database_url, "SELECT epoch, beat, format FROM leader") == [(0, 0, 1)]


def test_only_what_is_missing_is_applied(empty_database_url: str, folder: Path) -> None:
    assert migrate(empty_database_url, folder=folder) == ["0001_first.sql", "0002_second.sql"]
    (folder / "0003_third.sql").write_text("-- outside a transaction\nCREATE INDEX CONCURRENTLY ON first (a)")
    assert migrate(empty_database_url, folder=folder) == ["0003_third.sql"]
    assert query(empty_database_url, "SELECT a, b FROM first") == [(1, None)]


def test_a_migration_that_fails_leaves_nothing(empty_database_url: str, folder: Path) -> None:
    (folder / "0002_second.sql").write_text("ALTER TABLE first ADD COLUMN b text; SELECT 1/0;")
    with pytest.raises(psycopg2.errors.DivisionByZero):
        migrate(empty_database_url, folder=folder)
    (folder / "0002_second.sql").write_text("ALTER TABLE first ADD COLUMN b text;")
    assert migrate(empty_database_url, folder=folder) == ["0002_second.sql"]


def test_a_newer_database_is_refused_with_a_way_out(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder=folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match=r"0002_second\.sql.*newer version.*backup"):
        migrate(empty_database_url, folder=folder)


def test_a_file_that_was_edited_after_it_was_applied_is_refused(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder=folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE first (a bigint);")
    (folder / "0003_third.sql").write_text("CREATE TABLE third ();")
    with pytest.raises(MigrationError, match=r"0001_first\.sql .*edited.*new file"):
        migrate(empty_database_url, folder=folder)
    assert query(empty_database_url, "SELECT to_regclass('third')") == [(None,)]


def test_a_database_from_before_the_checksums_gets_them(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder=folder)
    query(empty_database_url, "ALTER TABLE schema_migrations DROP COLUMN checksum")
    assert migrate(empty_database_url, folder=folder) == []
    assert query(empty_database_url, "SELECT count(*) FROM schema_migrations WHERE checksum IS NULL") == [(0,)]
    (folder / "0002_second.sql").write_text("ALTER TABLE first ADD COLUMN b int;")
    with pytest.raises(MigrationError, match="0002_second"):
        migrate(empty_database_url, folder=folder)


def test_a_backup_that_is_being_made_is_not_waited_for(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder=folder)
    backup = psycopg2.connect(empty_database_url)
    backup.cursor().execute("LOCK TABLE schema_migrations IN ACCESS SHARE MODE")
    assert migrate(empty_database_url, folder=folder) == []
    backup.close()


def test_two_migrators_do_not_meet(empty_database_url: str, folder: Path) -> None:
    (folder / "0001_first.sql").write_text("CREATE TABLE first (a int); SELECT pg_sleep(0.2);")
    applied: list[list[str]] = []
    migrators = [
        threading.Thread(target=lambda: applied.append(migrate(empty_database_url, folder=folder))) for _ in range(2)
    ]
    for migrator in migrators:
        migrator.start()
    for migrator in migrators:
        migrator.join(20)
    assert sorted(applied) == [[], ["0001_first.sql", "0002_second.sql"]]


def test_a_table_in_use_is_tried_again(empty_database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate_module, "LOCK_TIMEOUT", "20ms")
    query(empty_database_url, "CREATE TABLE used (a int)")
    (folder / "0001_first.sql").write_text("CREATE TABLE first (a int); ALTER TABLE used ADD COLUMN b int")
    user = psycopg2.connect(empty_database_url)
    cursor = user.cursor()
    cursor.execute("SELECT a FROM used")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            user.rollback()

    assert migrate(empty_database_url, folder=folder, sleep=pause) == ["0001_first.sql", "0002_second.sql"]
    assert len(pauses) == 2
    user.close()


def test_a_table_that_is_always_in_use_is_given_up(
    empty_database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_module, "LOCK_TIMEOUT", "10ms")
    monkeypatch.setattr(migrate_module, "LOCK_ATTEMPTS", 2)
    query(empty_database_url, "CREATE TABLE first (a int)")
    (folder / "0001_first.sql").write_text("ALTER TABLE first ADD COLUMN c int")
    user = psycopg2.connect(empty_database_url)
    user.cursor().execute("SELECT a FROM first")
    with pytest.raises(MigrationError, match="in use"):
        migrate(empty_database_url, folder=folder, sleep=lambda seconds: None)
    user.close()
