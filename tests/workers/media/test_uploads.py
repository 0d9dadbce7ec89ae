"""Uploading: what is kept, what is refused, and that nothing remains of what is refused."""

from hashlib import sha256

from hs_common.config.rate_limits import Bucket
from hs_common.http.endpoint import Rate
from hs_common.http.rate_limits import RateLimits
from tests.common.http.served import compose
from tests.reactor import reactor, until
from tests.workers.media.conftest import Playing
from tests.workers.media.world import ALICE, AUTHED, BOB, NAME, V3, World


def test_an_upload_comes_back_as_it_was(play: Playing) -> None:
    async def scenario(world: World) -> None:
        data = bytes(range(256)) * 5000
        media_id = await world.uploaded(data, "image/png", "ein bild.png")
        assert len(media_id) == 24
        answer = await world.download(media_id)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, data, "image/png")
        assert answer.headers["content-disposition"] == 'inline; filename="ein bild.png"'
        name = sha256(data).hexdigest()
        assert world.files() == [f"blobs/{name[:2]}/{name}"]
        assert world.metric("viaduct_media_stored_bytes_total") == len(data)
        assert world.metric("viaduct_media_sent_bytes_total") == len(data)

    play(scenario)


def test_empty_files_and_files_without_a_type(play: Playing) -> None:
    async def scenario(world: World) -> None:
        answer = await world.download(await world.uploaded(b""))
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment"

    play(scenario)


def test_the_same_content_is_kept_once_and_has_as_many_ids_as_uploads(play: Playing) -> None:
    async def scenario(world: World) -> None:
        ids = {await world.uploaded(b"same", "text/plain", f"{number}.txt") for number in range(3)}
        assert len(ids) == 3
        assert len(world.files()) == 1
        assert await world.contents() == 1
        assert {(await world.download(media_id)).body for media_id in ids} == {b"same"}

    play(scenario)


def test_what_is_announced_too_large_is_refused_before_it_is_sent(play: Playing) -> None:
    async def scenario(world: World) -> None:
        connection = await world.served.connect()
        connection.write(compose("POST", f"{V3}/upload", b"", {**ALICE, "Content-Length": "2001"}))
        answer = await connection.answer()
        assert (answer.status, answer.errcode) == (413, "M_TOO_LARGE")
        connection.abort()
        assert world.files() == []

    play(scenario, upload_bytes=2000)


def test_what_turns_out_too_large_is_refused_while_it_comes_and_thrown_away(play: Playing) -> None:
    async def scenario(world: World) -> None:
        connection = await world.served.connect()
        connection.write(compose("POST", f"{V3}/upload", b"", {**ALICE, "Transfer-Encoding": "chunked"}))
        for _ in range(11):
            connection.write(b"%x\r\n%s\r\n" % (100_000, b"x" * 100_000))
        answer = await connection.answer()
        assert (answer.status, answer.errcode) == (413, "M_TOO_LARGE")
        connection.abort()
        await world.background.drained()
        assert world.files() == []
        assert await world.count("media") == await world.count("media_usage") == 0

    play(scenario, upload_bytes=1_000_000)


def test_a_client_that_goes_away_leaves_nothing(play: Playing) -> None:
    async def scenario(world: World) -> None:
        connection = await world.served.connect()
        connection.write(compose("POST", f"{V3}/upload", b"x" * 1_900_000, {**ALICE, "Content-Length": "2000000"}))
        await until(world.files)
        connection.abort()
        await until(lambda: not world.files())
        assert await world.count("media") == 0

    play(scenario)


def test_a_user_has_so_much_and_no_more(play: Playing) -> None:
    async def scenario(world: World) -> None:
        await world.uploaded(b"x" * 60)
        early = await world.upload(b"y" * 41)
        assert (early.status, early.errcode) == (403, "M_FORBIDDEN")
        connection = await world.served.connect()
        connection.write(compose("POST", f"{V3}/upload", b"", {**ALICE, "Transfer-Encoding": "chunked"}))
        connection.write(b"29\r\n" + b"z" * 41 + b"\r\n0\r\n\r\n")
        late = await connection.answer()
        assert (late.status, late.errcode) == (403, "M_FORBIDDEN")
        await connection.close()
        other = await world.served.ask("POST", f"{V3}/upload", b"y" * 100, BOB)
        assert other.status == 200
        await world.uploaded(b"x" * 40)
        assert (await world.upload(b"!")).status == 403

    play(scenario, user_bytes=100)


def test_tokens_and_limits_come_first(play: Playing) -> None:
    async def scenario(world: World) -> None:
        assert (await world.served.ask("POST", f"{V3}/upload", b"x")).errcode == "M_MISSING_TOKEN"
        assert (await world.upload(b"x")).status == 200
        assert (await world.upload(b"x")).errcode == "M_LIMIT_EXCEEDED"

    limits = RateLimits({Rate.MEDIA: Bucket(per_second=0.001, burst=1)}, reactor.seconds)
    play(scenario, limits=limits)


def test_a_name_has_an_end(play: Playing) -> None:
    async def scenario(world: World) -> None:
        assert (await world.upload(b"x", name="n" * 1025)).errcode == "M_INVALID_PARAM"
        media_id = await world.uploaded(b"x", "text/html", "ä" * 1000 + "\r\nX: y")
        answer = await world.download(media_id)
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''%C3%A4")
        assert "x" not in answer.headers

    play(scenario)


def test_clients_are_told_the_limit(play: Playing) -> None:
    async def scenario(world: World) -> None:
        for path in (f"{AUTHED}/config", f"{V3}/config", "/_matrix/media/r0/config"):
            assert (await world.get(path)).json == {"m.upload.size": 4096}
        assert (await world.served.ask("GET", f"{V3}/config")).errcode == "M_MISSING_TOKEN"

    play(scenario, upload_bytes=4096)


def test_old_paths_upload_too(play: Playing) -> None:
    async def scenario(world: World) -> None:
        for version in ("r0", "v1", "v3"):
            answer = await world.served.ask("POST", f"/_matrix/media/{version}/upload", b"x", ALICE)
            assert answer.json["content_uri"].startswith(f"mxc://{NAME}/")

    play(scenario)
