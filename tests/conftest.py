"""What every test can ask for: a database of its own, a Redis of its own. Started at the first use, once a process."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings

from hs_common.process.embedded_redis import EmbeddedRedis
from tests.services import TestPostgres, TestRedis, say

# Examples that take long on a busy machine are not failures; and a failing run can be repeated as it was.
settings.register_profile("viaduct", deadline=None, print_blob=True)
settings.load_profile("viaduct")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real-servers", action="store_true", help="Also play against a real Synapse; installs it once.")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The plays against other homeservers are not a part of the usual run."""
    if "real_servers" in collection_path.parts and not config.getoption("--real-servers"):
        return True
    return None


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestPostgres]:
    """The PostgreSQL server of this test process."""
    with TestPostgres() as server:
        yield server


@pytest.fixture
def database_url(postgres: TestPostgres) -> Iterator[str]:
    """The URL of a fresh database with the current schema."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: TestPostgres) -> Iterator[str]:
    """The URL of a fresh database without any table."""
    with postgres.database(migrated=False) as url:
        yield url


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[TestRedis]:
    """The Redis server of this test process."""
    with TestRedis() as server:
        yield server


@pytest.fixture
def redis_url(shared_redis: TestRedis) -> str:
    """The URL of an empty Redis database."""
    url = shared_redis.url()
    client = redis.Redis.from_url(url)
    client.flushdb()
    client.close()
    return url


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that root's unprivileged user can enter; pytest's own folders are private to who runs the tests."""
    with tempfile.TemporaryDirectory(prefix="viaduct-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    """A Redis server of this test alone, which it may kill, stop and start again."""
    server = EmbeddedRedis(say=say, maximum_memory="64mb")
    server.start()
    try:
        yield server
    finally:
        server.stop()
