"""Media move between a folder and an object store while the worker serves; whatever breaks off goes on later."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from twisted.internet.threads import deferToThread

from hs_common.config.load import ConfigError, parse
from hs_common.process.commands.admin_media import media as media_command
from hs_workers.media.blobs import Found, StorageFailed
from hs_workers.media.sweeping import GRACE_S
from hs_workers.media.two_places import TwoPlaces
from tests.reactor import run
from tests.workers.media.conftest import Playing
from tests.workers.media.object_store import ObjectStore
from tests.workers.media.pictures import picture
from tests.workers.media.test_administration import operator
from tests.workers.media.world import NAME, SECRET, World, media_worker

CONTENTS = [b"", *(b"content %d" % number * 1000 for number in range(11)), bytes(700_000)]
ENDED = "No media are left there"


async def say(world: World, *words: str) -> str:
    """What `viaduct admin media` says, to its end."""
    config = world.folder.parent / "viaduct.toml"
    config.write_text(f'[server]\nname = "{NAME}"\n[registration]\nshared_secret = "{SECRET}"\n')
    arguments = [*words, "--config", str(config), "--url", f"http://127.0.0.1:{world.served.port}"]
    return str((await deferToThread(CliRunner().invoke, media_command, arguments)).output)


async def check_all(world: World, media_ids: list[str]) -> None:
    for data, media_id in zip(CONTENTS, media_ids, strict=True):
        assert (await world.download(media_id)).body == data


def test_from_a_folder_into_a_store_and_back(media_url: str, media_folder: Path, object_store: ObjectStore) -> None:
    folder = media_folder / "media"

    async def scenario() -> None:
        async with media_worker(media_url, folder) as world:
            media_ids = [await world.uploaded(data) for data in CONTENTS]
            pictured = await world.uploaded(picture(400, 400), "image/png")
            thumbnail = (await world.thumbnail(pictured, 96, 96)).body
            assert "Nothing is being moved" in await say(world, "move")
        async with media_worker(media_url, folder, s3=object_store.options(), moving_from="folder") as world:
            await check_all(world, media_ids)
            assert object_store.objects() == []
            new = await world.uploaded(b"new")
            assert len(object_store.objects()) == 1
            assert "Moved 15 contents" in await say(world, "move", "--keep")
            assert len(object_store.objects()) == len(world.files()) + 1 == 16
            assert "Moved 0 contents, 0 bytes" in await say(world, "move", "--keep")
            assert "Moved 15 contents, 0 bytes" in await say(world, "move"), "they are there already"
            assert world.files() == []
            assert len(object_store.objects()) == 16
            await check_all(world, media_ids)
            assert ENDED in await say(world, "move"), "there is nothing more to do"
        async with media_worker(media_url, folder, s3=object_store.options()) as world:
            await check_all(world, media_ids)
            assert (await world.thumbnail(pictured, 96, 96)).body == thumbnail
        async with media_worker(media_url, folder, s3=object_store.options(), moving_from="s3") as world:
            assert "Moved 16 contents" in await say(world, "move")
            assert object_store.objects() == []
        async with media_worker(media_url, folder) as world:
            await check_all(world, media_ids)
            assert (await world.download(new)).body == b"new"

    run(scenario(), 120)


def test_it_goes_on_where_it_broke_off(media_url: str, media_folder: Path, object_store: ObjectStore) -> None:
    folder = media_folder / "media"

    def fail_after(world: World, count: int) -> None:
        put, left = world.store.new._bucket.put, [count]

        async def failing(key: str, spool: Any, sha256: bytes) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise StorageFailed("the store has enough")
            await put(key, spool, sha256)

        world.store.new._bucket.put = failing

    async def scenario() -> None:
        async with media_worker(media_url, folder) as world:
            media_ids = [await world.uploaded(data) for data in CONTENTS]
        for count in (3, 6):
            async with media_worker(media_url, folder, s3=object_store.options(), moving_from="folder") as world:
                fail_after(world, count)
                assert "the server refused: the store has enough" in await say(world, "move")
                await check_all(world, media_ids)
        assert len(object_store.objects()) == 9
        async with media_worker(media_url, folder, s3=object_store.options(), moving_from="folder") as world:
            assert ENDED in await say(world, "move")
            assert world.files() == []
            await check_all(world, media_ids)

    run(scenario(), 120)


def test_what_is_broken_stays_and_is_named(media_url: str, media_folder: Path, object_store: ObjectStore) -> None:
    folder = media_folder / "media"

    async def scenario() -> None:
        async with media_worker(media_url, folder) as world:
            broken, good = await world.uploaded(b"broken"), await world.uploaded(b"good")
            await world.uploaded(b"nobody's")
            await world.db.execute("DELETE FROM media WHERE size = 8; DELETE FROM media_blobs WHERE size = 8")
        name = hashlib.sha256(b"broken").hexdigest()
        (folder / "blobs" / name[:2] / name).write_bytes(b"brOken")
        async with media_worker(media_url, folder, s3=object_store.options(), moving_from="folder") as world:
            said = await say(world, "move")
            assert f"{name}: broken where they were" in said
            assert "1 files that belong to nobody" in said
            assert ENDED not in said
            assert len(object_store.objects()) == 1
            assert len(world.files()) == 2
            assert (await world.download(good)).body == b"good"
            await operator(world, "POST", "/delete", {"mxc": f"mxc://{NAME}/{broken}"})
            await world.later(GRACE_S * 2)
            object_store.check_signatures(False)
            await world.sweeper.sweep([hashlib.sha256(b"nobody's").digest()[0]])
            object_store.check_signatures(True)
            assert world.files() == []

    run(scenario(), 120)


def test_what_is_deleted_while_it_is_copied_is_gone(play: Playing, object_store: ObjectStore) -> None:
    """The worst moment: the copy comes in just after its deletion."""

    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"secret")
        places = world.store
        assert isinstance(places, TwoPlaces)
        places.new, places.old = places.old, places.new  # it was uploaded to what is now the old place
        receive = places.new.receive

        def receiving() -> Any:
            one = receive()
            keep = one.keep

            async def late(*args: Any) -> None:
                await operator(world, "POST", "/delete", {"mxc": f"mxc://{NAME}/{media_id}"})
                await keep(*args)

            one.keep = late  # type: ignore[assignment, method-assign]
            return one

        places.new.receive = receiving  # type: ignore[method-assign]
        await world.later(120)
        begin = {"part": hashlib.sha256(b"secret").digest()[0]}
        assert (await operator(world, "POST", "/move", begin)).json["moved"] == 0
        assert world.files() == object_store.objects() == []

    play(scenario, s3=object_store.options(), moving_from="folder")


class _Place:
    """Answers what it is told, one after another."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    async def open(self, sha256: bytes) -> Any:
        return self._answers.pop(0)

    async def contents(self, prefix: int) -> Any:
        return self._answers.pop(0)


def test_what_moves_between_two_looks_is_found() -> None:
    found: Any = object()
    new, old = _Place(None, found), _Place(None)
    assert run(TwoPlaces(new, old).open(b"")) is found  # type: ignore[arg-type]


def test_a_content_of_both_places_is_as_old_as_its_younger_half() -> None:
    """What was just copied is not swept."""
    new, old = _Place([Found(b"1", 5.0), Found(b"2", 9.0)]), _Place([Found(b"1", 7.0), Found(b"3", 1.0)])
    found = run(TwoPlaces(new, old).contents(0))  # type: ignore[arg-type]
    assert sorted((one.sha256, one.age_s) for one in found) == [(b"1", 5.0), (b"2", 9.0), (b"3", 1.0)]


def test_moving_needs_two_places() -> None:
    with pytest.raises(ConfigError, match=r"media\.moving_from: media move between"):
        parse({"media": {"moving_from": "folder"}}, Path("/"), {})
