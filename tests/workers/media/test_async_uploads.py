"""Ids that are created first and uploaded to later."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.common.http.served import Answer
from tests.workers.media.conftest import Playing
from tests.workers.media.world import ALICE, AUTHED, BOB, NAME, V3, World


async def created(world: World, headers: dict[str, str] = ALICE) -> str:
    answer = await world.served.ask("POST", "/_matrix/media/v1/create", b"{}", headers)
    assert answer.status == 200, answer
    return str(answer.json["content_uri"]).removeprefix(f"mxc://{NAME}/")


async def put(world: World, media_id: str, data: bytes, headers: dict[str, str] = ALICE, server: str = NAME) -> Answer:
    return await world.served.ask("PUT", f"{V3}/upload/{server}/{media_id}", data, headers)


def test_create_and_put(play: Playing) -> None:
    async def scenario(world: World) -> None:
        answer = await world.served.ask("POST", "/_matrix/media/v1/create", b"", ALICE)
        assert answer.json["unused_expires_at"] == world.moment[0] + 86_400_000
        media_id = answer.json["content_uri"].removeprefix(f"mxc://{NAME}/")
        answer = await put(world, media_id, b"later", {**ALICE, "Content-Type": "text/plain"})
        assert (answer.status, answer.json) == (200, {})
        answer = await world.download(media_id)
        assert (answer.body, answer.headers["content-type"]) == (b"later", "text/plain")

    play(scenario)


def test_content_is_given_once(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await created(world)
        assert (await put(world, media_id, b"one")).status == 200
        second = await put(world, media_id, b"two")
        assert (second.status, second.errcode) == (409, "M_CANNOT_OVERWRITE_MEDIA")
        third = await put(world, await world.uploaded(b"x"), b"two")
        assert (third.status, third.errcode) == (409, "M_CANNOT_OVERWRITE_MEDIA")
        assert (await world.download(media_id)).body == b"one"

    play(scenario)


def test_of_two_uploads_at_once_one_wins_whole(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await created(world)
        both = [Deferred.fromCoroutine(put(world, media_id, letter * 500_000)) for letter in (b"a", b"b")]
        statuses = [(await one).status for one in both]
        assert sorted(statuses) == [200, 409]
        winner = b"a" if statuses[0] == 200 else b"b"
        assert (await world.download(media_id)).body == winner * 500_000
        row = await world.db.fetch_one("SELECT bytes, count FROM media_usage")
        assert row == (500_000, 1)

    play(scenario)


def test_others_unknown_and_expired_ids(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await created(world)
        assert (await put(world, media_id, b"x", BOB)).errcode == "M_FORBIDDEN"
        for answer in (
            await put(world, "unknown", b"x"),
            await put(world, media_id, b"x", server="other.example.org"),
        ):
            assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        await world.later(60)
        assert (await put(world, media_id, b"x")).errcode == "M_NOT_FOUND"
        assert (await world.download(media_id)).errcode == "M_NOT_FOUND"
        await world.sweeper.sweep()
        assert await world.count("media") == 0

    play(scenario, pending_lifetime_ms=60_000)


def test_a_user_has_so_many_pending_ones(play: Playing) -> None:
    async def scenario(world: World) -> None:
        first = await created(world)
        await created(world)
        answer = await world.served.ask("POST", "/_matrix/media/v1/create", b"", ALICE)
        assert (answer.status, answer.errcode) == (429, "M_LIMIT_EXCEEDED")
        await created(world, BOB)
        await put(world, first, b"x")
        await created(world)

    play(scenario, pending_uploads=2)


def test_a_download_waits_for_the_upload(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await created(world)
        waiting = Deferred.fromCoroutine(world.download(media_id))
        assert (await put(world, media_id, b"there")).status == 200
        assert (await waiting).body == b"there"

    play(scenario)


def test_a_download_finds_what_another_worker_received(play: Playing) -> None:
    """Nobody wakes it: it looks again."""

    async def scenario(world: World) -> None:
        media_id, other = await created(world), await world.uploaded(b"there")
        waiting: Deferred[Any] = Deferred.fromCoroutine(world.download(media_id, "?timeout_ms=15000"))
        await world.db.execute(
            "UPDATE media SET expires_ts = NULL, sha256 = o.sha256, size = o.size"
            " FROM (SELECT sha256, size FROM media WHERE media_id = %s) o WHERE media_id = %s",
            (other, media_id),
        )
        assert (await waiting).body == b"there"

    play(scenario)


def test_a_download_does_not_wait_for_ever(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await created(world)
        for target in (f"download/{NAME}/{media_id}?", f"thumbnail/{NAME}/{media_id}?width=32&height=32&"):
            answer = await world.get(f"{AUTHED}/{target}timeout_ms=50")
            assert (answer.status, answer.errcode) == (504, "M_NOT_YET_UPLOADED")

    play(scenario)
