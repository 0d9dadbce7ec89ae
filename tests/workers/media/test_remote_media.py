"""Media of another server, at a real one on loopback with TLS that answers as it is told; and ours, for others."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from hs_workers.media.remote.multipart import boundary_of
from hs_workers.media.remote.remote_media import FAILED_S, PER_SERVER
from tests.common.federation.test_client import federating
from tests.common.http.egress.outside import OutsideServer, Talk, answer, asking, outside
from tests.common.http.served import Answer
from tests.reactor import run, sleep, until
from tests.workers.media.object_store import ObjectStore
from tests.workers.media.pictures import opened, picture, png_bomb
from tests.workers.media.test_multipart import read
from tests.workers.media.world import AUTHED, V3, World, media_worker

FEDERATION = "/_matrix/federation/v1/media"
SERVER = {"Authorization": 'X-Matrix origin="other.example",destination="example.org",key="ed25519:1",sig="AAAA"'}
IN_PARTS = "Content-Type: multipart/mixed; boundary=xyz"
Script = Callable[[bytes, Talk], None]


def parts(data: bytes, *headers: str) -> bytes:
    """As servers answer."""
    lines = "".join(f"{line}\r\n" for line in headers).encode()
    body = (
        b"--xyz\r\nContent-Type: application/json\r\n\r\n{}\r\n--xyz\r\n" + lines + b"\r\n" + data + b"\r\n--xyz--\r\n"
    )
    return answer(body, 200, IN_PARTS)


def error(status: int, errcode: str) -> bytes:
    return answer(b'{"errcode":"%s","error":"Said"}' % errcode.encode(), status)


def play(
    url: str, folder: Path, script: Script, scenario: Callable[[World, OutsideServer], Awaitable[None]], **options: Any
) -> None:
    async def perform() -> None:
        async with (
            federating(script, folder / "certificates") as (server, federation),
            media_worker(url, folder / "media", federation=federation, **options) as world,
        ):
            await scenario(world, server)

    (folder / "certificates").mkdir()
    run(perform(), 120)


async def get(world: World, rest: str = "", media_id: str = "far", **headers: str) -> Answer:
    return await world.get(f"{AUTHED}/download/b.example/{media_id}{rest}", **headers)


def test_it_is_fetched_once_and_kept(media_url: str, media_folder: Path) -> None:
    data = picture(600, 400)
    answered = parts(data, "Content-Type: image/png", 'Content-Disposition: attachment; filename="far.png"')

    async def scenario(world: World, server: OutsideServer) -> None:
        asked = [Deferred.fromCoroutine(get(world)) for _ in range(10)]
        for one in asked:
            found = await one
            assert (found.status, found.body) == (200, data)
            assert found.headers["content-disposition"] == 'inline; filename="far.png"'
            assert found.headers["content-type"] == "image/png"
        assert (await get(world, "/mine.png")).headers["content-disposition"] == 'inline; filename="mine.png"'
        assert (await get(world, Range="bytes=5-9")).body == data[5:10]
        thumbnail = await world.get(f"{AUTHED}/thumbnail/b.example/far?width=32&height=32&method=crop")
        assert opened(thumbnail.body).size == (32, 32)
        assert len(server.requests) == 1
        assert server.requests[0].startswith(b"GET /_matrix/federation/v1/media/download/far?timeout_ms=20000 HTTP/1.1")
        assert b"Authorization: X-Matrix origin=" in server.requests[0]
        assert (await world.get(f"{V3}/download/b.example/far")).errcode == "M_NOT_FOUND", "nothing without a token"
        assert world.metric("viaduct_media_remote_total", outcome="fetched") == 1
        assert world.metric("viaduct_media_fetched_bytes_total") == len(data)

    play(media_url, media_folder, lambda request, talk: talk.write(answered), scenario)


def test_two_workers_fetch_once(media_url: str, media_folder: Path) -> None:
    talks: list[Talk] = []

    async def scenario(world: World, server: OutsideServer) -> None:
        async with media_worker(media_url, media_folder / "media", federation=world.parts._outside.federation) as other:
            first = Deferred.fromCoroutine(get(world))
            await until(lambda: talks)
            second = Deferred.fromCoroutine(get(other))
            await sleep(0.1)
            talks[0].write(parts(b"far"))
            assert [(await one).body for one in (first, second)] == [b"far", b"far"]
            assert len(server.requests) == 1

    play(media_url, media_folder, lambda request, talk: talks.append(talk), scenario)


def test_servers_of_before_are_asked_on_the_old_path(media_url: str, media_folder: Path) -> None:
    def script(request: bytes, talk: Talk) -> None:
        if b"/federation/" in request:
            talk.write(
                answer(b"404 page not found", 404) if b"/download/proxy" in request else error(404, "M_UNRECOGNIZED")
            )
        else:
            talk.write(
                answer(b"old", 200, "Content-Type: text/plain", "Content-Disposition: inline; filename*=utf-8''%C3%A4")
            )

    async def scenario(world: World, server: OutsideServer) -> None:
        for media_id in ("far", "proxy"):
            found = await get(world, media_id=media_id)
            assert (found.body, found.headers["content-type"]) == (b"old", "text/plain")
            assert found.headers["content-disposition"] == "inline; filename*=UTF-8''%C3%A4"
        assert b"GET /_matrix/media/v3/download/b.example/far?timeout_ms=20000&allow_remote=false" in server.requests[1]

    play(media_url, media_folder, script, scenario)


def test_a_place_elsewhere(media_url: str, media_folder: Path) -> None:
    """It is asked through the policy, like everything that others name."""

    async def perform() -> None:
        def script(request: bytes, talk: Talk) -> None:
            where = f"http://10.0.0.1:{cdn.port}/x" if b"inside" in request else f"http://cdn.test:{cdn.port}/x?sig=1"
            talk.write(parts(b"", f"Location: {where}"))

        names = {"cdn.test": ["127.0.0.1"]}
        stored = answer(b"elsewhere", 200, "Content-Type: text/plain")
        async with (
            outside(lambda request, talk: talk.write(stored)) as cdn,
            asking(names=names) as egress,
            federating(script, media_folder / "certificates") as (_, federation),
            media_worker(media_url, media_folder / "media", federation=federation, egress=egress) as world,
        ):
            found = await get(world)
            assert (found.body, found.headers["content-type"]) == (b"elsewhere", "text/plain")
            assert cdn.requests[0].startswith(b"GET /x?sig=1 ")
            assert b"Authorization" not in cdn.requests[0]
            assert (await get(world, media_id="inside")).status == 502

    (media_folder / "certificates").mkdir()
    run(perform(), 120)


def test_a_place_elsewhere_may_be_hostile(media_url: str, media_folder: Path) -> None:
    """It may lead on, as long as it leads to no place inside, and comes to an end in bytes and time."""

    async def perform() -> None:
        def script(request: bytes, talk: Talk) -> None:
            media_id = request.split(b"?")[0].rpartition(b"/")[2].decode()
            talk.write(parts(b"", f"Location: http://cdn.test:{cdn.port}/{media_id}"))

        def drip(talk: Talk) -> None:
            talk.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")

        pages: dict[str, Any] = {
            "/on": answer(b"", 302, "Location: /good"),
            "/good": answer(b"good", 200, "Content-Type: text/html", 'Content-Disposition: inline; filename="a.html"'),
            "/inside": answer(b"", 307, "Location: http://10.0.0.1/"),
            "/loopback": answer(b"", 308, "Location: http://[::1]/"),
            "/file": answer(b"", 302, "Location: file:///etc/passwd"),
            "/loop": answer(b"", 302, "Location: /loop"),
            "/large": answer(bytes(60_000)),
            "/gone": answer(b"", 404),
            "/drip": drip,
        }

        def cdn_script(request: bytes, talk: Talk) -> None:
            page = pages[request.split(b" ")[1].decode()]
            if callable(page):
                page(talk)
            else:
                talk.write(page)

        options: dict[str, Any] = {"remote_download_bytes": 50_000, "remote_timeout_ms": 1_000}
        async with (
            outside(cdn_script) as cdn,
            asking(allow=("127.0.0.1/32",), names={"cdn.test": ["127.0.0.1"]}) as egress,
            federating(script, media_folder / "certificates") as (_, federation),
            media_worker(media_url, media_folder / "media", federation=federation, egress=egress, **options) as world,
        ):
            found = await get(world, media_id="on")
            assert (found.status, found.body) == (200, b"good")
            assert found.headers["content-disposition"] == 'attachment; filename="a.html"'
            asked = {path: Deferred.fromCoroutine(get(world, media_id=path[1:])) for path in list(pages)[2:]}
            answers = {path: await one for path, one in asked.items()}
            assert {path: one.status for path, one in answers.items()} == dict.fromkeys(answers, 502)
            assert answers["/large"].errcode == "M_TOO_LARGE"
            await world.background.drained()
            assert len(world.files()) == await world.count("remote_media") == 1
            assert world.metric("viaduct_media_remote_total", outcome="failed") == len(answers)

    (media_folder / "certificates").mkdir()
    run(perform(), 120)


@pytest.mark.parametrize(
    ("said", "status", "errcode"),
    [
        (error(404, "M_NOT_FOUND"), 404, "M_NOT_FOUND"),
        (error(504, "M_NOT_YET_UPLOADED"), 504, "M_NOT_YET_UPLOADED"),
        (error(502, "M_TOO_LARGE"), 502, "M_TOO_LARGE"),
        (error(500, "M_UNKNOWN"), 502, "M_UNKNOWN"),
        (error(403, "M_FORBIDDEN"), 403, "M_FORBIDDEN"),
        (parts(bytes(60_000)), 502, "M_TOO_LARGE"),
        (answer(bytes(9_000_000), 200, IN_PARTS), 502, "M_TOO_LARGE"),
        (answer(b"--xyz\r\n\r\n{}\r\n--xyz\r\n\r\nhalf", 200, IN_PARTS), 502, "M_UNKNOWN"),
        (answer(b"x", 200, "Content-Type: multipart/mixed"), 502, "M_UNKNOWN"),
        (parts(b"", "Location: file:///etc/passwd"), 502, "M_UNKNOWN"),
        (parts(b"", "Location: http://127.0.0.1:1/"), 502, "M_UNKNOWN"),
    ],
)  # fmt: skip
def test_what_cannot_be_had(media_url: str, media_folder: Path, said: bytes, status: int, errcode: str) -> None:
    """It is told, nothing is left of it, and it is not tried again at once."""

    async def scenario(world: World, server: OutsideServer) -> None:
        for _ in range(2):
            found = await get(world)
            assert (found.status, found.errcode) == (status, errcode)
        assert len(server.requests) == 1
        await world.background.drained()
        assert world.files() == []
        assert await world.count("remote_media") == await world.contents() == 0

    play(media_url, media_folder, lambda request, talk: talk.write(said), scenario, remote_download_bytes=50_000)


def test_few_at_once_of_one_server(media_url: str, media_folder: Path) -> None:
    talks: list[tuple[bytes, Talk]] = []

    async def scenario(world: World, server: OutsideServer) -> None:
        asked = [Deferred.fromCoroutine(get(world, media_id=f"m{number}")) for number in range(7)]
        await until(lambda: len(talks) == PER_SERVER)
        await sleep(0.1)
        assert len(talks) == PER_SERVER
        for number in range(7):
            await until(lambda number=number: len(talks) > number)  # type: ignore[misc]
            talks[number][1].write(parts(b"far"))
        assert {(await one).body for one in asked} == {b"far"}
        assert await world.count("remote_media") == 7

    play(media_url, media_folder, lambda request, talk: talks.append((request, talk)), scenario)


def test_a_picture_of_theirs_that_is_too_large(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        answered = await world.get(f"{AUTHED}/thumbnail/b.example/far?width=9&height=9")
        assert (answered.status, answered.errcode) == (502, "M_TOO_LARGE")

    said = parts(png_bomb(30_000, 30_000, b"\0"), "Content-Type: image/png")
    play(media_url, media_folder, lambda request, talk: talk.write(said), scenario)


def test_what_another_server_says_of_a_file_is_not_believed(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        for media_id in ("html", "odd"):
            found = await get(world, media_id=media_id)
            assert found.headers["content-disposition"].startswith("attachment")
            assert found.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
            assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["content-type"] == "application/octet-stream"

    def script(request: bytes, talk: Talk) -> None:
        kind = "text/html" if b"/html" in request else "image/png; <script>"
        talk.write(parts(b"<script>alert(1)</script>", f"Content-Type: {kind}", "Content-Disposition: inline"))

    play(media_url, media_folder, script, scenario)


def test_it_is_tried_again_later(media_url: str, media_folder: Path) -> None:
    said = [error(404, "M_NOT_FOUND"), parts(b"there")]

    async def scenario(world: World, server: OutsideServer) -> None:
        assert (await get(world)).status == 404
        known = world.parts.remote._failed
        for key, (until_s, failure) in list(known.items()):
            known[key] = (until_s - FAILED_S, failure)
        assert (await get(world)).body == b"there"

    play(media_url, media_folder, lambda request, talk: talk.write(said.pop(0)), scenario)


def test_who_does_not_wait_is_told_so_and_the_fetch_goes_on(media_url: str, media_folder: Path) -> None:
    talks: list[Talk] = []

    async def scenario(world: World, server: OutsideServer) -> None:
        answered = await get(world, "?timeout_ms=100")
        assert (answered.status, answered.errcode) == (504, "M_NOT_YET_UPLOADED")
        talks[0].write(parts(b"late"))
        assert (await get(world)).body == b"late"
        assert len(server.requests) == 1

    play(media_url, media_folder, lambda request, talk: talks.append(talk), scenario)


def test_a_dead_workers_claim_ends(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        await world.db.execute(
            "INSERT INTO remote_media (server_name, media_id, expires_ts, fetched_ts)"
            " VALUES ('b.example', 'far', %s, 0)",
            (world.moment[0] + 60_000,),
        )
        assert (await get(world, "?timeout_ms=200")).status == 504
        await world.later(60)
        assert (await get(world)).body == b"x"

    play(media_url, media_folder, lambda request, talk: talk.write(parts(b"x")), scenario)


def test_nothing_is_fetched_for_who_does_not_want_it_or_may_not(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        for target in (f"{V3}/download/b.example/far", f"{V3}/thumbnail/b.example/far?width=9&height=9"):
            assert (await world.get(target)).errcode == "M_NOT_FOUND"
        assert (await get(world, "?allow_remote=false")).errcode == "M_NOT_FOUND"
        assert (await world.get(f"{AUTHED}/download/127.0.0.1:1/x")).status in (403, 502)
        assert server.connections == 0

    play(media_url, media_folder, lambda request, talk: talk.write(parts(b"x")), scenario)


def test_without_a_token_where_that_is_allowed(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        assert (await world.get(f"{V3}/download/b.example/far?allow_remote=false")).status == 404
        assert (await world.get(f"{V3}/download/b.example/far")).body == b"x"

    script: Script = lambda request, talk: talk.write(parts(b"x"))  # noqa: E731
    play(media_url, media_folder, script, scenario, unauthenticated_access=True)


def test_what_nobody_asks_for_goes(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        for media_id in ("old", "used"):
            await get(world, media_id=media_id)
        await world.parts.accesses.flush()
        await world.later(6 * 86_400)
        await get(world, media_id="used")
        await world.parts.accesses.flush()
        await world.later(2 * 86_400)
        await world.sweeper.sweep()
        rows = await world.db.fetch("SELECT media_id FROM remote_media")
        assert rows == [("used",)]
        assert len(world.files()) == 1
        assert world.metric("viaduct_media_swept_total", what="remote") == 1

    def script(request: bytes, talk: Talk) -> None:
        talk.write(parts(request.split(b"?")[0]))

    play(media_url, media_folder, script, scenario, remote_lifetime_ms=7 * 86_400_000)


def test_the_cache_is_not_larger_than_it_may_be(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        for number in range(5):
            await get(world, media_id=f"m{number}")
            await world.parts.accesses.flush()
            await world.later(10)
        await get(world, media_id="m0")
        await world.parts.accesses.flush()
        await world.sweeper.sweep()
        rows = await world.db.fetch("SELECT media_id FROM remote_media ORDER BY media_id")
        assert [row[0] for row in rows] == ["m0", "m3", "m4"]

    def script(request: bytes, talk: Talk) -> None:
        talk.write(parts(request.split(b"?")[0].ljust(1000)))

    play(media_url, media_folder, script, scenario, remote_cache_bytes=3500, remote_lifetime_ms=0)


# Ours, for others


async def ask(world: World, rest: str, **headers: str) -> Answer:
    return await world.served.ask("GET", f"{FEDERATION}/{rest}", headers={**SERVER, **headers})


def medium(found: Answer) -> tuple[dict[str, str], bytes]:
    assert found.status == 200
    return read(found.body, boundary_of(found.headers["content-type"]).decode(), 1000)


def test_others_download_ours(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        data = picture(600, 400)
        media_id = await world.uploaded(data, "image/png", "ä.png")
        headers, body = medium(await ask(world, f"download/{media_id}"))
        assert body == data
        assert headers == {"content-type": "image/png", "content-disposition": "inline; filename*=UTF-8''%C3%A4.png"}
        headers, body = medium(await ask(world, f"thumbnail/{media_id}?width=32&height=32&method=crop"))
        assert opened(body).size == (32, 32)
        assert headers["content-type"] == "image/jpeg"
        empty = await world.uploaded(b"")
        assert medium(await ask(world, f"download/{empty}"))[1] == b""
        large = await world.uploaded(bytes(3_000_000))
        assert medium(await ask(world, f"download/{large}"))[1] == bytes(3_000_000)

    play(media_url, media_folder, lambda request, talk: None, scenario)


def test_others_are_refused_what_they_may_not_have(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        media_id = await world.uploaded(b"x")
        unsigned = await world.served.ask("GET", f"{FEDERATION}/download/{media_id}")
        assert (unsigned.status, unsigned.errcode) == (401, "M_UNAUTHORIZED")
        assert (await ask(world, "download/unknown")).errcode == "M_NOT_FOUND"
        assert (await ask(world, f"thumbnail/{media_id}?width=9")).errcode == "M_MISSING_PARAM"
        assert (await ask(world, f"thumbnail/{media_id}?width=9&height=9")).errcode == "M_UNKNOWN"
        created = await world.served.ask("POST", "/_matrix/media/v1/create", b"{}", {"Authorization": "Bearer alice"})
        pending = created.json["content_uri"].rpartition("/")[2]
        assert (await ask(world, f"download/{pending}?timeout_ms=10")).errcode == "M_NOT_YET_UPLOADED"

    play(media_url, media_folder, lambda request, talk: None, scenario)


def test_others_are_sent_to_the_object_store(media_url: str, media_folder: Path, object_store: ObjectStore) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        media_id = await world.uploaded(b"stored", "text/plain")
        headers, body = medium(await ask(world, f"download/{media_id}"))
        assert body == b""
        assert list(headers) == ["location"]
        assert headers["location"].startswith(f"{object_store.endpoint}/media/blobs/")

    options = object_store.options(redirects=True)
    play(media_url, media_folder, lambda request, talk: None, scenario, s3=options)
