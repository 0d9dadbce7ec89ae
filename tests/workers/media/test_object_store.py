"""Media in an S3 server alone: the same as in a folder, also when the server is slow, broken or away."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from twisted.internet.defer import Deferred

from hs_common.config.option import Secret
from hs_workers.media.blobs import StorageFailed
from hs_workers.media.s3 import answer_body, requests
from hs_workers.media.sweeping import GRACE_S
from tests.reactor import run, sleep
from tests.workers.media.conftest import Playing
from tests.workers.media.object_store import Fault, ObjectStore, faulty_way
from tests.workers.media.pictures import opened, picture
from tests.workers.media.test_failures import DATA as BEGUN
from tests.workers.media.test_failures import begin_upload, small_disk
from tests.workers.media.world import AUTHED, NAME, V3, World, media_worker, playing

DATA = os.urandom(700_000)


def test_up_and_down(play: Playing, object_store: ObjectStore) -> None:
    async def scenario(world: World) -> None:
        for data in (b"", b"x", DATA):
            media_id = await world.uploaded(data, "text/plain", "a b.txt")
            answer = await world.download(media_id)
            assert (answer.status, answer.body) == (200, data)
            assert answer.headers["content-disposition"] == 'inline; filename="a b.txt"'
        part = await world.download(media_id, Range="bytes=1000-2999")
        assert (part.status, part.body) == (206, DATA[1000:3000])
        last = await world.download(media_id, Range="bytes=-5")
        assert (last.status, last.body) == (206, DATA[-5:])
        assert (await world.download(media_id, method="HEAD")).headers["content-length"] == str(len(DATA))
        assert world.files() == []
        assert len(object_store.objects()) == 3
        assert object_store.unfinished() == 0
        assert all(key.startswith("some/where/blobs/") for key in object_store.objects())

    play(scenario, s3=object_store.options(prefix="some/where/"))


def test_two_workers_share_nothing_else(media_url: str, media_folder: Path, object_store: ObjectStore) -> None:
    async def scenario() -> None:
        options: dict[str, Any] = {"s3": object_store.options()}
        async with (
            media_worker(media_url, media_folder / "one", **options) as one,
            media_worker(media_url, media_folder / "other", **options) as other,
        ):
            media_id = await one.uploaded(picture(600, 400), "image/png")
            assert (await other.download(media_id)).body == picture(600, 400)
            made = (await other.thumbnail(media_id, 32, 32)).body
            assert (await one.thumbnail(media_id, 32, 32)).body == made

    run(scenario(), 120)
    assert not list(media_folder.iterdir())


def test_thumbnails(play: Playing, object_store: ObjectStore) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(600, 400), "image/png")
        for _ in range(2):
            answer = await world.thumbnail(media_id, 96, 96, method="crop")
            assert opened(answer.body).size == (96, 96)
        assert len(object_store.objects()) == 2

    play(scenario, s3=object_store.options())


def test_a_sweep_deletes_what_nobody_has(play: Playing, object_store: ObjectStore) -> None:
    async def scenario(world: World) -> None:
        kept, unused = await world.uploaded(b"kept"), await world.uploaded(b"unused")
        await world.uploaded(b"stray")
        await world.db.execute("DELETE FROM media WHERE media_id <> %s", (kept,))
        await world.db.execute("DELETE FROM media_blobs WHERE sha256 = sha256('stray')")
        await world.sweeper.sweep()
        assert len(object_store.objects()) == 2  # what has no row may be an upload that is just being recorded
        await world.later(GRACE_S + 60)
        await world.sweeper.sweep()
        assert len(object_store.objects()) == 1
        assert (await world.download(kept)).body == b"kept"
        assert (await world.download(unused)).status == 404
        assert world.metric("viaduct_media_swept_total", what="stray") == 1

    # Signatures hold for a quarter of an hour, and this play goes to the next one.
    object_store.check_signatures(False)
    play(scenario, s3=object_store.options())
    object_store.check_signatures(True)


def test_a_list_of_many_pages(play: Playing, object_store: ObjectStore) -> None:
    async def scenario(world: World) -> None:
        real = world.store._bucket.list
        world.store._bucket.list = lambda parameters: real({**parameters, "max-keys": "2"})
        for number in range(5):
            world.store._key = lambda sha256: f"blobs/00/{sha256.hex()}"
            await world.uploaded(b"%d" % number)
        assert len(await world.store.contents(0)) == 5
        assert await world.store.contents(1) == []

    play(scenario, s3=object_store.options())


def test_redirects_to_signed_urls(play: Playing, object_store: ObjectStore) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(600, 400), "image/png", "ä b.png")
        answer = await world.download(media_id)
        assert (answer.status, answer.headers["cache-control"]) == (307, "no-store")
        body, headers = fetched(answer.headers["location"])
        assert body == picture(600, 400)
        assert headers["Content-Type"] == "image/png"
        assert headers["Content-Disposition"] == "inline; filename*=UTF-8''%C3%A4%20b.png"
        thumbnail = await world.thumbnail(media_id, 32, 32, method="crop")
        assert opened(fetched(thumbnail.headers["location"])[0]).size == (32, 32)
        deprecated = f"{V3}/download/{NAME}/{media_id}"
        assert (await world.get(deprecated)).status == 200
        assert (await world.get(f"{deprecated}?allow_redirect=true")).status == 307
        assert (await world.get(f"{deprecated}?allow_redirect=false")).status == 200

    object_store.check_signatures(False)
    play(scenario, s3=object_store.options(redirects=True), unauthenticated_access=True)
    object_store.check_signatures(True)


def fetched(url: str) -> tuple[bytes, Any]:
    """As a client would, without any other sign of who it is."""
    with urlopen(url) as response:
        return response.read(), response.headers


def test_a_wrong_key_stores_nothing_and_is_said(play: Playing, object_store: ObjectStore) -> None:
    async def scenario(world: World) -> None:
        answer = await world.upload(b"x")
        assert (answer.status, answer.errcode) == (503, "M_UNKNOWN")
        assert world.metric("viaduct_media_storage_errors_total") >= 1
        assert await world.count("media") == 0

    play(scenario, s3=object_store.options(secret_access_key=Secret("wrong")))
    assert object_store.objects() == []


async def through_faults(url: str, folder: Path, store: ObjectStore, play: Any, **options: Any) -> None:
    async with faulty_way(store) as (way, fault), media_worker(url, folder, s3=way.options(), **options) as world:
        await play(world, fault)


def test_what_breaks_off_goes_on_where_it_was(media_url: str, media_folder: Path, object_store: ObjectStore) -> None:
    async def scenario(world: World, fault: Fault) -> None:
        media_id = await world.uploaded(DATA)
        for at in (100, 300_000, 600_000):
            fault.cut_after = at
            assert (await world.download(media_id)).body == DATA
            assert fault.cut_after is None
        assert (await world.download(media_id, Range="bytes=5-")).body == DATA[5:]

    run(through_faults(media_url, media_folder, object_store, scenario), 120)


def test_a_store_that_is_away_or_busy(
    media_url: str, media_folder: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAUSES_S", (0.01, 0.05))

    async def scenario(world: World, fault: Fault) -> None:
        kept = await world.uploaded(DATA)
        for status in (b"503 Slow Down", b"500 Oops", b"403 Forbidden"):
            fault.answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
            for answer in (await world.upload(b"new"), await world.download(kept)):
                assert (answer.status, answer.errcode) == (503, "M_UNKNOWN")
            with pytest.raises(StorageFailed):
                await world.store.contents(0)
        before = fault.connections
        fault.answer = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"
        asked: Deferred[Any] = Deferred.fromCoroutine(world.upload(b"new"))
        while fault.connections == before:
            await sleep(0.002)
        fault.answer = None
        assert (await asked).status == 200
        assert (await world.download(kept)).body == DATA
        assert await world.count("media") == 2

    run(through_faults(media_url, media_folder, object_store, scenario), 120)
    assert len(object_store.objects()) == 2


def test_a_store_that_answers_something_else(
    media_url: str, media_folder: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the head of a request was sent, within its body, and behind it: nothing waits without an end."""
    monkeypatch.setattr(requests, "PAUSES_S", (0.01,))

    async def scenario(world: World, fault: Fault) -> None:
        fault.answer = b"what?\r\n\r\n"
        with monkeypatch.context() as hurry:
            hurry.setattr(requests, "ANSWER_TIMEOUT_S", 1.0)
            for data in (b"", b"new", os.urandom(8_000_000)):
                assert (await world.upload(data)).status == 503
            with pytest.raises(StorageFailed):
                await world.store.contents(0)
        fault.answer = None
        assert (await world.upload(b"new")).status == 200
        assert await world.count("media") == 1

    run(through_faults(media_url, media_folder, object_store, scenario), 120)


def test_a_store_that_falls_silent(
    media_url: str, media_folder: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAUSES_S", ())
    monkeypatch.setattr(requests, "ANSWER_TIMEOUT_S", 0.2)
    monkeypatch.setattr(answer_body, "SILENCE_LIMIT_S", 0.2)

    async def scenario(world: World, fault: Fault) -> None:
        kept = await world.uploaded(b"kept")
        fault.is_silent = True
        slow = [Deferred.fromCoroutine(world.upload(DATA)) for _ in range(20)]
        assert (await world.get(f"{AUTHED}/config")).status == 200, "others are served meanwhile"
        assert {(await one).status for one in slow} == {503}
        assert (await world.download(kept)).status == 503
        fault.is_silent = False
        assert (await world.download(kept)).body == b"kept"

    run(through_faults(media_url, media_folder, object_store, scenario), 120)


def test_a_slow_store_is_waited_for_and_holds_up_nobody(
    media_url: str, media_folder: Path, object_store: ObjectStore
) -> None:
    async def scenario(world: World, fault: Fault) -> None:
        fault.delay_s = 0.4
        uploads = [Deferred.fromCoroutine(world.uploaded(DATA[number:])) for number in range(4)]
        assert (await world.get(f"{AUTHED}/config")).status == 200
        assert not any(upload.called for upload in uploads), "others are served meanwhile"
        media_ids = [await upload for upload in uploads]
        downloads = [Deferred.fromCoroutine(world.download(media_id)) for media_id in media_ids]
        assert [(await download).body for download in downloads] == [DATA[number:] for number in range(4)]

    run(through_faults(media_url, media_folder, object_store, scenario), 120)


def test_a_full_disk_for_uploads_on_their_way(media_url: str, media_folder: Path, object_store: ObjectStore) -> None:
    """They are refused, and nothing of them is left; what is in the store can be had."""
    with small_disk(4_000_000) as spool:

        async def scenario(world: World) -> None:
            kept = await world.uploaded(DATA)
            for _ in range(3):
                assert (await world.upload(os.urandom(8_000_000))).status == 503
            await world.background.drained()
            assert (await world.download(kept)).body == DATA
            assert (await world.upload(b"small")).status == 200
            assert list(spool.iterdir()) == []
            assert len(object_store.objects()) == 2 == await world.contents()

        playing(media_url, media_folder, scenario, s3=object_store.options(spool_folder=str(spool)))


@pytest.mark.parametrize("moment", ["receiving", "received", "kept"])
def test_killed_within_an_upload(media_url: str, media_folder: Path, object_store: ObjectStore, moment: str) -> None:
    """Nothing is left but, at the worst, an object without media, which the sweeper takes."""
    arguments = [sys.executable, "-m", "tests.workers.media.crashing_worker", media_url, str(media_folder), moment]
    s3 = [object_store.endpoint, object_store.access_key_id, object_store.secret_access_key]
    with subprocess.Popen([*arguments, *s3], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None

        async def crash(port: int) -> None:
            connection = await begin_upload(port, len(BEGUN) + (moment == "receiving"))
            if moment == "receiving":
                await sleep(0.2)
                process.send_signal(signal.SIGKILL)
            await connection.ended()
            await connection.close()

        run(crash(int(process.stdout.readline())))
    assert process.returncode == -9
    assert len(object_store.objects()) == (1 if moment == "kept" else 0)
    assert object_store.unfinished() == 0

    async def check(world: World) -> None:
        assert await world.count("media") == 0
        await world.later(GRACE_S * 2)
        await world.sweeper.sweep()
        assert object_store.objects() == []
        assert await world.contents() == 0

    object_store.check_signatures(False)
    playing(media_url, media_folder, check, s3=object_store.options())
    object_store.check_signatures(True)
