"""The private PostgreSQL and Redis: they serve, keep what they should, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest
import redis

from hs_common.process import embedded_postgres
from hs_common.process.child_process import is_alive
from hs_common.process.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from hs_common.process.embedded_redis import EmbeddedRedis
from tests.services import say

_PATIENCE_S = 30.0  # for a process to end on a busy machine

_PARENT = """
import sys, time
from pathlib import Path
from hs_common.process.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), say=lambda text: None, scratch=True)
server.start()
print(server.process_id, flush=True)
time.sleep(600)
"""


def one_value(url: str, statement: str) -> object:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
            return None if row is None else row[0]
    finally:
        connection.close()


def wait_until_gone(process_id: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while is_alive(process_id):
        assert time.monotonic() < deadline, f"process {process_id} is still there"
        time.sleep(0.02)


def test_data_survive_a_restart_and_are_stored_byte_by_byte(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder, say=say, scratch=True)
    server.start()
    try:
        assert server.create_database("viaduct")
        assert not server.create_database("viaduct")
        url = server.url("viaduct")
        collation = one_value(url, "SELECT datcollate FROM pg_database WHERE datname = current_database()")
        assert collation == "C"
        assert one_value(url, "SHOW server_encoding") == "UTF8"
        one_value(url, "CREATE TABLE kept AS SELECT 7 AS value; SELECT 1")
    finally:
        server.stop()
    server.start()
    try:
        assert one_value(server.url("viaduct"), "SELECT value FROM kept") == 7
    finally:
        server.stop()


def test_server_ends_with_a_killed_parent_and_the_next_one_starts(open_folder: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(open_folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server_id = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    successor = EmbeddedPostgres(open_folder, say=say, scratch=True)
    successor.start()  # waits for the orphan's shutdown, or finds it gone
    try:
        assert one_value(successor.url("postgres"), "SELECT 1") == 1
    finally:
        successor.stop()
    wait_until_gone(server_id)


def test_file_of_a_dead_server_is_no_obstacle(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder, say=say, scratch=True)
    server.start()
    os.kill(server.process_id, signal.SIGKILL)
    server.stop()
    recorded = server.data_folder / "postmaster.pid"
    lines = recorded.read_text().splitlines()
    recorded.write_text("\n".join([str(os.getpid()), *lines[1:]]))  # the id now belongs to somebody else
    server.start()
    try:
        assert one_value(server.url("postgres"), "SELECT 1") == 1
    finally:
        server.stop()


def test_folder_of_another_major_version_is_refused_with_the_way_out(open_folder: Path) -> None:
    data = open_folder / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 9.*apt install postgresql-9"):
        EmbeddedPostgres(open_folder, say=say).start()
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_no_tcp_port_is_open(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder, say=say, scratch=True)
    server.start()
    try:
        assert one_value(server.url("postgres"), "SHOW listen_addresses") == ""
    finally:
        server.stop()


def test_settings_of_a_foreign_server_in_the_environment_are_ignored(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", str(open_folder / "elsewhere"))
    assert "PGDATA" not in embedded_postgres._environment()


def test_redis_holds_nothing_on_disk_and_keeps_its_port() -> None:
    server = EmbeddedRedis(say=say, maximum_memory="32mb")
    server.start()
    try:
        url = server.url()
        client = redis.Redis.from_url(url)
        client.set("key", "value")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        client.close()
        first = server.process_id
        server.kill()
        assert not is_alive(first)
        server.start()
        assert server.url() == url
        again = redis.Redis.from_url(url)
        assert again.get("key") is None
        again.close()
    finally:
        server.stop()
