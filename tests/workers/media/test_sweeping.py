"""What belongs to nobody goes, and nothing else, whenever uploads come in between."""

import os
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.storage import media, media_contents
from hs_workers.media import keeping
from hs_workers.media.blobs import StorageFailed
from hs_workers.media.collecting import HELD_BYTES
from hs_workers.media.deleting import DEAD_MS
from hs_workers.media.keeping import RECORD_LIMIT_MS
from hs_workers.media.sweeping import FIRST_S, GRACE_S, INTERVAL_S, Sweeper
from tests.reactor import sleep
from tests.workers.media.conftest import Playing
from tests.workers.media.object_store import ObjectStore
from tests.workers.media.pictures import picture
from tests.workers.media.world import World

HOURS_LATER = GRACE_S * 2


async def forget(world: World, media_id: str) -> None:
    await world.db.execute("DELETE FROM media WHERE media_id = %s", (media_id,))


def test_what_is_used_stays(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(400, 400), "image/png")
        assert (await world.thumbnail(media_id, 96, 96)).status == 200
        before = world.files()
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert world.files() == before
        assert (await world.download(media_id)).status == 200
        assert (await world.thumbnail(media_id, 96, 96)).status == 200
        assert world.metric("viaduct_media_thumbnails_total", outcome="found") == 1

    play(scenario)


def test_what_deleted_media_leave_goes_with_its_thumbnails(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(400, 400), "image/png")
        for size in (32, 96):
            await world.thumbnail(media_id, size, size, method="crop")
        await forget(world, media_id)
        assert len(world.files()) == 3
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert world.files() == []
        assert await world.contents() == await world.count("media_thumbnails") == 0
        assert world.metric("viaduct_media_swept_total", what="unused") == 3

    play(scenario)


def test_a_content_of_two_media_stays_for_the_second(play: Playing) -> None:
    async def scenario(world: World) -> None:
        first, second = await world.uploaded(b"same"), await world.uploaded(b"same")
        await forget(world, first)
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert (await world.download(second)).body == b"same"

    play(scenario)


def test_files_that_the_database_does_not_know_go_when_they_are_old(play: Playing) -> None:
    async def scenario(world: World) -> None:
        await world.uploaded(b"lost")
        await world.db.execute("TRUNCATE media, media_thumbnails, media_blobs, remote_media")
        unfinished = world.folder / "incoming" / "00"
        unfinished.write_bytes(b"half")
        await world.sweeper.sweep()
        assert len(world.files()) == 2
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert world.files() == []
        assert await world.contents() == 0
        assert world.metric("viaduct_media_swept_total", what="stray") == 1
        assert world.metric("viaduct_media_swept_total", what="unfinished") == 1

    play(scenario)


def test_an_upload_of_what_is_just_being_deleted_waits_and_brings_its_own(play: Playing) -> None:
    """The worst moment: the row is locked, the file is not yet gone."""

    async def during(world: World, delete: Callable[[World], Awaitable[object]]) -> None:
        uploads: list[Deferred[str]] = []
        real = world.store.delete

        async def slowly(sha256: bytes) -> None:
            if not uploads:
                uploads.append(Deferred.fromCoroutine(world.uploaded(b"same")))
                await sleep(0.3)  # time in which the upload could go wrong, did it not wait
            await real(sha256)

        world.store.delete = slowly
        await world.later(HOURS_LATER)
        await delete(world)
        assert len(uploads) == 1
        assert (await world.download(await uploads[0])).body == b"same"

    async def unused(world: World) -> None:
        await forget(world, await world.uploaded(b"same"))
        await during(world, lambda world: world.sweeper.sweep())

    async def stray(world: World) -> None:
        await world.uploaded(b"same")
        await world.db.execute("TRUNCATE media, media_thumbnails, media_blobs, remote_media")
        await during(world, lambda world: world.sweeper.sweep())

    play(unused)
    play(stray)


def deleting_once_kept(world: World, data: bytes) -> list[bool]:
    """Has a content deleted as soon as its bytes are in place, as a sweeper would that takes them for a stray's."""
    receive, deleted = world.store.receive, list[bool]()

    def receive_and_delete() -> Any:
        receiving = receive()
        keep = receiving.keep

        async def kept(*args: Any) -> None:
            await keep(*args)
            if not deleted:
                deleted.append(await world.sweeper._deleting.delete_stray(sha256(data).digest()))

        receiving.keep = kept
        return receiving

    world.store.receive = receive_and_delete
    return deleted


@pytest.mark.parametrize("size", [10, HELD_BYTES + 100_000])
@pytest.mark.parametrize("is_s3", [False, True])
def test_an_upload_whose_bytes_go_before_it_is_recorded_brings_them_again(
    play: Playing, object_store: ObjectStore, size: int, is_s3: bool
) -> None:
    async def scenario(world: World) -> None:
        data = os.urandom(size)
        deleted = deleting_once_kept(world, data)
        media_id = await world.uploaded(data)
        assert deleted == [True]
        assert (await world.download(media_id)).body == data
        await world.background.drained()
        assert len(world.files()) + len(object_store.objects()) == 1

    options = {"s3": object_store.options()} if is_s3 else {}
    play(scenario, **options)


def test_an_upload_that_takes_very_long_to_be_recorded_brings_its_bytes_again(play: Playing) -> None:
    """It may have missed a deletion that nobody remembers."""

    async def scenario(world: World) -> None:
        receive, kept = world.store.receive, list[None]()

        def slowly() -> Any:
            receiving = receive()
            keep = receiving.keep

            async def keep_slowly(*args: Any) -> None:
                await keep(*args)
                if not kept:
                    world.moment[0] += RECORD_LIMIT_MS
                    await world.store.delete(sha256(b"x").digest())
                kept.append(None)

            receiving.keep = keep_slowly
            return receiving

        world.store.receive = slowly
        media_id = await world.uploaded(b"x")
        assert len(kept) == 2
        assert (await world.download(media_id)).body == b"x"

    play(scenario)


def test_a_deletion_whose_worker_died_holds_up_uploads_of_the_same_for_a_while(
    play: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "CLAIM_LIMIT_S", 0.6)

    async def scenario(world: World) -> None:
        await media_contents.note_stray(world.db, sha256(b"x").digest(), world.moment[0])
        assert (await world.upload(b"x")).status == 503
        await world.later(DEAD_MS / 1000)
        assert (await world.download(await world.uploaded(b"x"))).body == b"x"

    play(scenario)


def test_what_older_workers_bring_back_counts_again(play: Playing) -> None:
    """They claim the row of a deletion and note what refers to it, and know nothing of the deletion."""

    async def scenario(world: World) -> None:
        await forget(world, await world.uploaded(b"x"))
        await world.sweeper.sweep()
        assert await world.contents() == 0
        await media_contents.claim_content(world.db, sha256(b"x").digest(), 1, world.moment[0])
        (world.folder / "blobs" / sha256(b"x").hexdigest()[:2] / sha256(b"x").hexdigest()).write_bytes(b"x")
        await media.add_media(
            world.db,
            "old",
            "@old:a",
            world.moment[0],
            media.Content(sha256(b"x").digest(), 1, "text/plain", None, is_public=True),
        )
        await world.later(HOURS_LATER)
        await world.sweeper.sweep()
        assert await world.contents() == 1
        assert (await world.download("old")).body == b"x"

    play(scenario)


def test_two_sweepers_at_once(play: Playing) -> None:
    async def scenario(world: World) -> None:
        for number in range(20):
            await forget(world, await world.uploaded(b"%d" % number))
        kept = await world.uploaded(b"kept")
        await world.later(HOURS_LATER)
        both = [Deferred.fromCoroutine(world.sweeper.sweep([])) for _ in range(2)]
        for one in both:
            await one
        assert len(world.files()) == 1
        assert world.metric("viaduct_media_swept_total", what="unused") == 20
        assert (await world.download(kept)).body == b"kept"

    play(scenario)


def test_what_media_are_made_of_cannot_be_forgotten(play: Playing) -> None:
    """The schema says no, whatever a sweeper believes."""

    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"kept")
        found = await media.find_media(world.db, media_id)
        assert found is not None
        assert found.sha256 is not None
        await world.later(HOURS_LATER)
        assert not await world.sweeper._deleting.delete(found.sha256)
        assert (await world.download(media_id)).body == b"kept"

    play(scenario)


def test_it_sweeps_now_and_then_and_goes_on_after_a_failure(play: Playing) -> None:
    async def scenario(world: World) -> None:
        clock, swept = Clock(), []
        sweeper = Sweeper(
            *(world.db, world.store, world.sweeper._deleting, clock, lambda: 0),
            *(world.sweeper._metrics, world.sweeper._forget),
        )

        async def sweep(prefixes: Iterable[int]) -> None:
            swept.append(list(prefixes))
            if len(swept) == 2:
                raise StorageFailed("away")

        sweeper.sweep = sweep  # type: ignore[method-assign,assignment]
        await sweeper.start()
        clock.advance(FIRST_S)
        for _ in range(40):
            clock.advance(INTERVAL_S)
        await sweeper.stop()
        assert clock.getDelayedCalls() == []
        assert swept[1] == swept[2], "the same part again after a failure"
        assert {prefix for part in swept for prefix in part} == set(range(256))

    play(scenario)
