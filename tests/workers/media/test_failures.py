"""kill -9 at any moment of an upload, and a full disk: no broken media are served, no bytes remain after a sweep."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol

from hs_workers.media.blobs import StorageFailed
from hs_workers.media.collecting import HELD_BYTES
from hs_workers.media.sweeping import GRACE_S
from tests.common.http.served import Connection, compose
from tests.reactor import reactor, run, until
from tests.workers.media.pictures import picture
from tests.workers.media.world import ALICE, BOB, V3, World, media_worker, playing

HOURS_LATER = GRACE_S * 2
DATA = os.urandom(HELD_BYTES + 600_000)
"""More than is held in memory: some of it is written while it comes."""


@contextmanager
def crashing(url: str, folder: Path, moment: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A worker in a process of its own: its port, and the process."""
    arguments = [sys.executable, "-m", "tests.workers.media.crashing_worker", url, str(folder), moment]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


async def begin_upload(port: int, announced: int) -> Connection:
    connection = Connection()
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), connection)
    connection.write(compose("POST", f"{V3}/upload", DATA, {**ALICE, "Content-Length": str(announced)}))
    return connection


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def check_nothing_is_left(world: World) -> None:
    """After the crash: no media, and after a sweep no bytes; the same content can be uploaded again meanwhile."""
    assert await world.count("media") == await world.count("media_usage") == 0
    await world.later(HOURS_LATER)
    await world.sweeper.sweep()
    assert world.files() == []
    assert await world.contents() == 0
    assert (await world.download(await world.uploaded(DATA))).body == DATA


@pytest.mark.parametrize("moment", ["receiving", "received", "kept"])
def test_killed_within_an_upload(media_url: str, media_folder: Path, moment: str) -> None:
    async def crash(port: int, process: "subprocess.Popen[bytes]") -> None:
        connection = await begin_upload(port, len(DATA) + (moment == "receiving"))
        if moment == "receiving":
            await until(lambda: files(media_folder))
            process.kill()
        await connection.ended()
        await connection.close()

    with crashing(media_url, media_folder, moment) as (port, process):
        run(crash(port, process))
    assert process.returncode == -9
    assert len(files(media_folder)) == 1
    playing(media_url, media_folder, check_nothing_is_left)


def test_killed_and_uploaded_again_before_any_sweep(media_url: str, media_folder: Path) -> None:
    with crashing(media_url, media_folder, "kept") as (port, _):
        run(ended(port))

    async def again(world: World) -> None:
        media_id = await world.uploaded(DATA)
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert (await world.download(media_id)).body == DATA
        assert len(world.files()) == 1

    playing(media_url, media_folder, again)


async def ended(port: int) -> None:
    connection = await begin_upload(port, len(DATA))
    await connection.ended()


def test_what_was_answered_survives_a_kill(media_url: str, media_folder: Path) -> None:
    async def upload(port: int) -> str:
        connection = await begin_upload(port, len(DATA))
        answer = await connection.answer()
        await connection.close()
        return str(answer.json["content_uri"]).rpartition("/")[2]

    with crashing(media_url, media_folder, "never") as (port, _):
        media_id = run(upload(port))

    async def look(world: World) -> None:
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert (await world.download(media_id)).body == DATA

    playing(media_url, media_folder, look)


@pytest.mark.parametrize("files_before_the_kill", [2, 5, 9])
def test_killed_among_many_uploads(media_url: str, media_folder: Path, files_before_the_kill: int) -> None:
    """Wherever each of them is at that moment: what is there afterwards is whole, and nothing else is."""
    contents = [os.urandom(200_000 + 50_000 * number) for number in range(12)]

    async def crash(port: int, process: "subprocess.Popen[bytes]") -> None:
        connections = []
        for content in contents:
            connection = Connection()
            await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), connection)
            length = {"Content-Length": str(len(content))}
            connection.write(compose("POST", f"{V3}/upload", content, {**ALICE, **length}))
            connections.append(connection)
        await until(lambda: len(files(media_folder)) >= files_before_the_kill)
        process.kill()
        for connection in connections:
            await connection.ended()

    async def look(world: World) -> None:
        rows = await world.db.fetch("SELECT media_id, sha256 FROM media")
        for media_id, sha256 in rows:
            answer = await world.download(media_id)
            assert (answer.status, hashlib.sha256(answer.body).digest()) == (200, bytes(sha256))
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert len(world.files()) == len(rows) == await world.contents()

    with crashing(media_url, media_folder, "never") as (port, process):
        run(crash(port, process))
    playing(media_url, media_folder, look)


def test_a_disk_that_is_full_for_thumbnails_and_media_of_others(media_url: str, media_folder: Path) -> None:
    """What is there is served; the thumbnail is made once there is space."""

    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(600, 400), "image/png")
        receive = world.store.receive

        def full() -> Any:
            receiving = receive()

            async def keep(*args: Any) -> None:
                raise StorageFailed("The disk is full")

            receiving.keep = keep
            return receiving

        world.store.receive = full
        assert (await world.thumbnail(media_id, 96, 96)).status == 503
        assert (await world.download(media_id)).body == picture(600, 400)
        await world.background.drained()
        assert len(world.files()) == 1
        world.store.receive = receive
        assert (await world.thumbnail(media_id, 96, 96)).status == 200

    playing(media_url, media_folder, scenario)


@contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """A disk of that many bytes, which only root can make; for others a folder whose files may not grow above it."""
    with tempfile.TemporaryDirectory(prefix="viaduct-test-") as name:
        mounted = os.geteuid() == 0 and not subprocess.call(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", name], stderr=subprocess.DEVNULL
        )
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            if not mounted:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
            yield Path(name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            if mounted:
                subprocess.check_call(["umount", "--lazy", name])


def on_a_small_disk(url: str, size: int, play: Callable[[World], object]) -> None:
    with small_disk(size) as folder:
        playing(url, folder / "media", play)  # type: ignore[arg-type]


def test_a_full_disk_refuses_uploads_and_serves_on(media_url: str) -> None:
    async def scenario(world: World) -> None:
        before = await world.uploaded(b"before" * 1000)
        for _ in range(3):
            answer = await world.upload(os.urandom(8_000_000))
            assert (answer.status, answer.errcode) == (503, "M_UNKNOWN")
            assert answer.headers["retry-after"]
        await world.background.drained()
        assert len(world.files()) == 1
        assert await world.count("media") == 1
        assert world.metric("viaduct_media_storage_errors_total") >= 3
        assert (await world.download(before)).body == b"before" * 1000
        assert (await world.download(await world.uploaded(b"after"))).body == b"after"
        usage = await world.db.fetch_one("SELECT bytes FROM media_usage")
        assert usage == (6005,)

    on_a_small_disk(media_url, 4_000_000, scenario)


def test_many_uploads_that_fill_the_disk_together(media_url: str) -> None:
    """Some fit and some do not; those that fit are whole, and the others leave nothing."""

    async def scenario(world: World) -> None:
        contents = [os.urandom(900_000) for _ in range(8)]
        uploads = [Deferred.fromCoroutine(world.upload(content)) for content in contents]
        answers = [await upload for upload in uploads]
        assert {answer.status for answer in answers} <= {200, 503}
        await world.background.drained()
        kept = [
            (content, answer.json["content_uri"].rpartition("/")[2])
            for content, answer in zip(contents, answers, strict=True)
            if answer.status == 200
        ]
        for content, media_id in kept:
            assert (await world.download(media_id)).body == content
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert len(world.files()) == len(kept) == await world.count("media")

    on_a_small_disk(media_url, 4_000_000, scenario)


def test_a_database_that_says_no_leaves_nothing(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World) -> None:
        await world.db.execute("ALTER TABLE media ADD CONSTRAINT none CHECK (media_id = '')")
        try:
            assert (await world.upload(DATA)).status == 500
        finally:
            await world.db.execute("ALTER TABLE media DROP CONSTRAINT none")
        assert (await world.served.ask("POST", f"{V3}/upload", b"x", BOB)).status == 200
        await world.db.execute("DELETE FROM media; DELETE FROM media_usage")
        await check_nothing_is_left(world)

    playing(media_url, media_folder, scenario)


def test_a_folder_that_cannot_be_used_fails_the_start(media_url: str, media_folder: Path) -> None:
    (media_folder / "file").write_text("")

    async def start() -> None:
        async with media_worker(media_url, media_folder / "file"):
            raise AssertionError("it started")

    with pytest.raises(NotADirectoryError):
        run(start())
