"""Thumbnails: their sizes and kinds, that they are made once, and that hostile files cost nobody anything."""

import hashlib

import pytest
from twisted.internet.defer import Deferred

from tests.reactor import until
from tests.workers.media.conftest import Playing
from tests.workers.media.pictures import animation, hostile, opened, picture, turned
from tests.workers.media.world import World


def test_scaled_and_cropped(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(2000, 1000), "image/png")
        for width, height, method, size in (
            (320, 240, "scale", (320, 160)),
            (300, 10, "scale", (320, 160)),
            (640, 480, "scale", (640, 320)),
            (32, 32, "crop", (32, 32)),
            (90, 90, "crop", (96, 96)),
            (100, 50, "crop", (192, 96)),
            (1500, 100, "scale", (1600, 800)),
            (9000, 9000, "scale", (2000, 1000)),
        ):
            answer = await world.thumbnail(media_id, width, height, method=method)
            assert answer.status == 200, answer
            image = opened(answer.body)
            assert image.size == size
            left, right = image.convert("RGB").getpixel((0, 0)), image.convert("RGB").getpixel((size[0] - 1, 0))
            assert left[0] > 240 > 15 > left[2]  # type: ignore[index]
            assert right[2] > 240 > 15 > right[0]  # type: ignore[index]
            assert answer.headers["content-disposition"].startswith('inline; filename="thumbnail.')
            assert answer.headers["cache-control"].endswith("immutable")

    play(scenario)


def test_a_thumbnail_is_not_smaller_than_was_asked_for(play: Playing) -> None:
    """Above what is made the picture itself is told; what may not move is made all the same."""

    async def scenario(world: World) -> None:
        for name, data, size in (
            ("image/png", picture(5000, 30), (5000, 30)),
            ("image/jpeg", turned(5000, 30, 6), (5000, 30)),
            ("image/jpeg", turned(60, 30, 6), (30, 60)),
            ("image/gif", animation(5000, 30, 2), (4096, 24)),
        ):
            media_id = await world.uploaded(data, name)
            for method in ("scale", "crop"):
                answer = await world.thumbnail(media_id, 4200, 4100, method=method)
                assert (answer.status, opened(answer.body).size) == (200, size), name
                assert getattr(opened(answer.body), "n_frames", 1) == 1

    play(scenario)


@pytest.mark.parametrize(
    ("kind", "mode", "made"),
    [
        ("PNG", "RGB", "image/jpeg"),
        ("PNG", "RGBA", "image/png"),
        ("JPEG", "RGB", "image/jpeg"),
        ("WEBP", "RGB", "image/jpeg"),
        ("WEBP", "RGBA", "image/png"),
        ("GIF", "RGB", "image/jpeg"),
    ],
)
def test_kinds(play: Playing, kind: str, mode: str, made: str) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(800, 800, kind, mode), f"image/{kind.lower()}")
        answer = await world.thumbnail(media_id, 96, 96, method="crop")
        assert (answer.status, answer.headers["content-type"]) == (200, made)
        assert opened(answer.body).size == (96, 96)

    play(scenario)


def test_a_small_picture_is_its_own_thumbnail_under_its_true_type(play: Playing) -> None:
    async def scenario(world: World) -> None:
        data = picture(30, 20, "GIF")
        answer = await world.thumbnail(await world.uploaded(data, "image/png"), 32, 32, method="crop")
        assert (answer.body, answer.headers["content-type"]) == (data, "image/gif")
        assert len(world.files()) == 1
        await world.later(7200)
        await world.sweeper.sweep()
        assert len(world.files()) == 1

    play(scenario)


def test_photographs_stand_upright(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(turned(800, 400, 6), "image/jpeg")
        image = opened((await world.thumbnail(media_id, 320, 240)).body)
        assert image.size == (120, 240)
        assert image.getpixel((60, 10))[0] > 240 > 15 > image.getpixel((60, 230))[0]  # type: ignore[index]
        small = await world.uploaded(turned(30, 20, 6), "image/jpeg")
        assert opened((await world.thumbnail(small, 320, 240)).body).size == (20, 30)

    play(scenario)


def test_animations_move_only_on_demand(play: Playing) -> None:
    async def scenario(world: World) -> None:
        for kind in ("GIF", "WEBP"):
            media_id = await world.uploaded(animation(400, 400, 5, kind), f"image/{kind.lower()}")
            for query in ({}, {"animated": "false"}):
                still = await world.thumbnail(media_id, 96, 96, method="crop", **query)
                assert getattr(opened(still.body), "n_frames", 1) == 1
            moving = await world.thumbnail(media_id, 96, 96, method="crop", animated="true")
            assert moving.headers["content-type"] == "image/webp"
            image = opened(moving.body)
            assert (image.size, getattr(image, "n_frames", 1)) == ((96, 96), 5)
        still = await world.thumbnail(await world.uploaded(picture(400, 400), "image/png"), 96, 96, animated="true")
        assert still.headers["content-type"] == "image/jpeg"

    play(scenario)


def test_small_animations_stand_still_too(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(animation(20, 20, 3), "image/gif")
        assert getattr(opened((await world.thumbnail(media_id, 32, 32)).body), "n_frames", 1) == 1

    play(scenario)


def test_an_animation_that_is_too_long_stands_still(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(animation(120, 120, 301), "image/gif")
        answer = await world.thumbnail(media_id, 96, 96, animated="true")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")

    play(scenario)


def test_a_thumbnail_is_made_once(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(2000, 2000), "image/png")
        asked = [Deferred.fromCoroutine(world.thumbnail(media_id, 96, 96, method="crop")) for _ in range(10)]
        answers = [await one for one in asked]
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        same = await world.thumbnail(await world.uploaded(picture(2000, 2000), "image/png"), 90, 90, method="crop")
        assert same.body == answers[0].body
        assert world.metric("viaduct_media_thumbnails_total", outcome="made") == 1
        assert world.metric("viaduct_media_thumbnails_total", outcome="found") == 1
        assert world.metric("viaduct_media_thumbnail_seconds_count") == 1
        assert len(world.files()) == 2

    play(scenario)


def test_a_client_that_goes_away_does_not_take_it_from_the_others(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(3000, 3000), "image/png")
        gone = Deferred.fromCoroutine(world.thumbnail(media_id, 96, 96))
        stays = Deferred.fromCoroutine(world.thumbnail(media_id, 96, 96))
        await until(lambda: world.served.observed.started == 3)
        gone.addErrback(lambda _: None)
        gone.cancel()
        assert (await stays).status == 200

    play(scenario)


def test_hostile_files_have_no_thumbnails_and_do_no_harm(play: Playing) -> None:
    async def scenario(world: World) -> None:
        for name, (data, content_type) in hostile().items():
            media_id = await world.uploaded(data, content_type)
            for _ in range(2):
                answer = await world.thumbnail(media_id, 96, 96)
                assert (answer.status, answer.errcode) in ((400, "M_UNKNOWN"), (413, "M_TOO_LARGE")), (name, answer)
            download = await world.download(media_id)
            assert hashlib.sha256(download.body).digest() == hashlib.sha256(data).digest()
        good = await world.thumbnail(await world.uploaded(picture(200, 200), "image/png"), 96, 96, method="crop")
        assert good.status == 200
        assert world.metric("viaduct_media_thumbnails_total", outcome="refused") > len(hostile())

    play(scenario)


def test_a_bomb_is_refused_as_too_large(play: Playing) -> None:
    async def scenario(world: World) -> None:
        answer = await world.thumbnail(await world.uploaded(picture(200, 51), "image/png"), 96, 96)
        assert (answer.status, answer.errcode) == (413, "M_TOO_LARGE")
        assert (await world.thumbnail(await world.uploaded(picture(200, 50), "image/png"), 96, 96)).status == 200

    play(scenario, thumbnail_pixels=10_000)


def test_what_takes_too_long_is_killed_and_not_tried_again(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(3000, 3000), "image/png")
        for _ in range(3):
            answer = await world.thumbnail(media_id, 1600, 1200)
            assert (answer.status, answer.errcode) == (413, "M_TOO_LARGE")
        assert world.processes.killed == 1

    play(scenario, time_limit_s=0.001)


def test_a_picture_in_front_of_something_else_is_a_picture(play: Playing) -> None:
    """A polyglot: what a browser is given is made anew, and named by what it is."""

    async def scenario(world: World) -> None:
        data = picture(300, 300) + b"<script>alert(1)</script>PK\x03\x04"
        answer = await world.thumbnail(await world.uploaded(data, "image/png"), 96, 96, method="crop")
        assert answer.headers["content-type"] == "image/jpeg"
        assert b"script" not in answer.body

    play(scenario)


def test_wrong_parameters(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(picture(30, 30), "image/png")
        assert (await world.thumbnail(media_id, 0, 32)).errcode == "M_INVALID_PARAM"
        assert (await world.thumbnail(media_id, -1, 32)).errcode == "M_INVALID_PARAM"
        assert (await world.thumbnail(media_id, 32, 32, method="stretch")).errcode == "M_INVALID_PARAM"
        assert (await world.thumbnail(media_id, 32, 32, animated="maybe")).errcode == "M_INVALID_PARAM"

    play(scenario)
