"""`play(scenario, **options)` runs a coroutine function with a World of its own: an empty folder, emptied tables."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg2
import pytest

from tests.scenarios.ports import PortBlock
from tests.services import TestPostgres
from tests.workers.media.object_store import ObjectStore, running_object_store
from tests.workers.media.world import Play, playing

EMPTY = "TRUNCATE media, media_thumbnails, media_blobs, media_usage, media_quarantined, remote_media, url_previews"


class Playing(Protocol):
    def __call__(self, play: Play, **options: Any) -> None:
        """`options` as those of `media_worker`."""


@pytest.fixture(scope="session")
def media_database(postgres: TestPostgres) -> Iterator[str]:
    """One database for all plays."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def media_url(media_database: str) -> str:
    """It, emptied."""
    connection = psycopg2.connect(media_database)
    with connection, connection.cursor() as cursor:
        cursor.execute(EMPTY)
    connection.close()
    return media_database


@pytest.fixture
def media_folder() -> Iterator[Path]:
    """An empty folder, in memory where that can be: hundreds of folders and fsyncs a test are slow on a busy disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="viaduct-test-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def play(media_url: str, media_folder: Path) -> Playing:
    def play_it(play: Play, **options: Any) -> None:
        playing(media_url, media_folder, play, **options)

    return play_it


@pytest.fixture(scope="session")
def object_stores() -> Iterator[ObjectStore]:
    """One S3 server for all plays."""
    with PortBlock() as ports, running_object_store(ports.first) as store:
        yield store


@pytest.fixture
def object_store(object_stores: ObjectStore) -> ObjectStore:
    """It, emptied."""
    object_stores.empty()
    return object_stores
