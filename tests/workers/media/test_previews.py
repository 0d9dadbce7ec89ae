"""Previews of a web on loopback: what is told, what is kept, and everything that such a web may try."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from twisted.internet.defer import Deferred

from hs_common.storage import url_previews
from hs_common.storage.queries import Queries
from hs_common.storage.url_previews import StoredPreview
from hs_workers.media.previews import making
from hs_workers.media.previews.previewing import FAILED_LIFETIME_MS
from hs_workers.media.retention import PICTURE_GRACE_MS
from tests.common.http.egress.outside import OutsideServer, Seen, Talk, answer, asking, outside
from tests.common.http.served import Answer
from tests.reactor import reactor, run, until
from tests.workers.media.pictures import opened, picture, png_bomb
from tests.workers.media.world import AUTHED, NAME, V3, World, media_worker

NAMES = {"site.test": ["127.0.0.1"], "inside.test": ["10.1.2.3"], "both.test": ["10.1.2.3", "::1"]}
PAGE = b'<meta property="og:title" content="A page"><meta property="og:image" content="/picture.png">'


def html(body: bytes) -> bytes:
    return answer(body, 200, "Content-Type: text/html")


def site(pages: dict[str, bytes | Callable[[Talk], None]]) -> Callable[[bytes, Talk], None]:
    """A server that has these pages, by path."""

    def script(request: bytes, talk: Talk) -> None:
        page = pages.get(request.split(b" ")[1].decode(), answer(b"", 404))
        if callable(page):
            page(talk)
        else:
            talk.write(page)

    return script


Scenario = Callable[[World, OutsideServer], Awaitable[None]]


def browse(url: str, folder: Path, pages: Any, scenario: Scenario, **options: Any) -> Seen:
    seen = Seen()

    async def perform() -> None:
        async with (
            outside(site(pages)) as server,
            asking(allow=("127.0.0.1/32",), names=NAMES, seen=seen) as egress,
            media_worker(url, folder, egress=egress, **options) as world,
        ):
            await scenario(world, server)

    run(perform(), 120)
    return seen


async def preview(world: World, url: str, path: str = f"{AUTHED}/preview_url") -> Answer:
    return await world.get(f"{path}?url={quote(url, safe='')}")


def test_a_page_with_a_picture(media_url: str, media_folder: Path) -> None:
    data = picture(600, 400)
    pages = {"/": html(PAGE), "/picture.png": answer(data, 200, "Content-Type: text/plain")}

    async def scenario(world: World, server: OutsideServer) -> None:
        url = f"http://site.test:{server.port}/#here"
        for path in (f"{AUTHED}/preview_url", f"{V3}/preview_url"):
            found = await preview(world, url, path)
            assert found.status == 200
            assert {name: value for name, value in found.json.items() if name != "og:image"} == {
                "og:title": "A page",
                "og:image:type": "image/png",
                "og:image:width": 600,
                "og:image:height": 400,
                "matrix:image:size": len(data),
            }
        media_id = found.json["og:image"].removeprefix(f"mxc://{NAME}/")
        assert (await world.download(media_id)).body == data
        assert opened((await world.thumbnail(media_id, 32, 32, method="crop")).body).size == (32, 32)
        assert len(server.requests) == 2, "the second time it was known"
        assert b"Accept-Language: en, *;q=0.5" in server.requests[0]
        assert await world.count("media_usage") == 0
        assert world.metric("viaduct_media_previews_total", outcome="made") == 1
        assert world.metric("viaduct_media_previews_total", outcome="found") == 1

    browse(media_url, media_folder, pages, scenario)


def test_a_picture_itself_oembed_and_nothing(media_url: str, media_folder: Path) -> None:
    pages = {
        "/picture": answer(picture(60, 40, "JPEG"), 200, "Content-Type: image/jpeg"),
        "/film": html(b'<title>Film</title><link rel=alternate type="application/json+oembed" href="/oembed?film">'),
        "/oembed?film": answer(b'{"title":"Not this","provider_name":"Films","thumbnail_url":"/picture"}'),
        "/file": answer(b"%PDF", 200, "Content-Type: application/pdf"),
    }

    async def scenario(world: World, server: OutsideServer) -> None:
        found = (await preview(world, f"{server.url}/picture")).json
        assert (found["og:image:type"], found["og:image:width"]) == ("image/jpeg", 60)
        found = (await preview(world, f"{server.url}/film")).json
        assert (found["og:title"], found["og:site_name"], found["og:image:height"]) == ("Film", "Films", 40)
        assert (await preview(world, f"{server.url}/file")).json == {}
        missing = await preview(world, f"{server.url}/none")
        assert (missing.status, missing.errcode) == (404, "M_NOT_FOUND")

    browse(media_url, media_folder, pages, scenario)


def test_many_ask_and_one_request_is_made(media_url: str, media_folder: Path) -> None:
    talks: list[Talk] = []
    pages = {"/": talks.append}

    async def scenario(world: World, server: OutsideServer) -> None:
        asked = [Deferred.fromCoroutine(preview(world, f"{server.url}/")) for _ in range(10)]
        await until(lambda: talks)
        talks[0].write(html(b"<title>One</title>"))
        assert [(await one).json for one in asked] == [{"og:title": "One"}] * 10
        assert len(server.requests) == 1

    browse(media_url, media_folder, pages, scenario)


def test_who_looked_while_it_was_being_stored_does_not_have_it_made_again(
    media_url: str, media_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The late one's look found nothing, and is told so only when the preview is there and nobody waits for it."""
    talks: list[Talk] = []
    find = url_previews.find_preview
    held: list[Deferred[None]] = []
    holds = False

    async def find_slowly(db: Queries, url_hash: bytes) -> StoredPreview | None:
        nonlocal holds
        found = await find(db, url_hash)
        if holds:
            holds = False
            held.append(Deferred())
            await held[0]
        return found

    monkeypatch.setattr(url_previews, "find_preview", find_slowly)

    async def scenario(world: World, server: OutsideServer) -> None:
        nonlocal holds
        first = Deferred.fromCoroutine(preview(world, f"{server.url}/"))
        await until(lambda: talks, 60)
        holds = True
        late = Deferred.fromCoroutine(preview(world, f"{server.url}/"))
        await until(lambda: held, 60)
        talks[0].write(html(b"<title>One</title>"))
        assert (await first).json == {"og:title": "One"}
        await world.background.drained()
        held[0].callback(None)
        assert (await late).json == {"og:title": "One"}
        assert len(server.requests) == 1

    browse(media_url, media_folder, {"/": talks.append}, scenario)


def test_two_workers_make_the_same_preview_at_once(media_url: str, media_folder: Path) -> None:
    """Both store it: the last one stays, with its picture; the other's picture goes in time."""
    talks: list[Talk] = []
    kept_long = {"lifetime_ms": 2 * PICTURE_GRACE_MS}
    pages = {"/": talks.append, "/picture.png": answer(picture(60, 40), 200, "Content-Type: image/png")}

    async def scenario(one: World, server: OutsideServer) -> None:
        url = f"{server.url}/"
        egress = one.parts._outside.egress
        async with media_worker(media_url, media_folder, egress=egress, previews=kept_long) as other:
            asked = [Deferred.fromCoroutine(preview(world, url)) for world in (one, other)]
            await until(lambda: len(talks) == 2, 60)
            for talk in talks:
                talk.write(html(PAGE))
            told = [(await answered).json["og:image"] for answered in asked]
            assert len(set(told)) == await one.count("media") == 2
            assert await one.count("url_previews") == 1
            kept = (await preview(one, url)).json["og:image"]
            assert kept in told
            assert (await preview(other, url)).json["og:image"] == kept
            for image in told:
                assert (await other.download(image.removeprefix(f"mxc://{NAME}/"))).status == 200
            await one.later(PICTURE_GRACE_MS / 1000 + 1)
            await one.sweeper.sweep()
            assert await one.count("media") == 1
            assert (await other.download(kept.removeprefix(f"mxc://{NAME}/"))).status == 200
        assert len(talks) == 2, "afterwards it was known"

    browse(media_url, media_folder, pages, scenario, previews=kept_long)


def test_what_is_kept_goes_in_time(media_url: str, media_folder: Path) -> None:
    pages: dict[str, bytes] = {"/": html(PAGE), "/picture.png": answer(picture(60, 40), 200, "Content-Type: image/png")}

    async def scenario(world: World, server: OutsideServer) -> None:
        assert (await preview(world, f"{server.url}/")).status == 200
        assert (await preview(world, f"{server.url}/gone")).status == 404
        pages["/gone"] = html(b"<title>Back</title>")
        assert (await preview(world, f"{server.url}/gone")).status == 404
        await world.later(FAILED_LIFETIME_MS / 1000)
        assert (await preview(world, f"{server.url}/gone")).json == {"og:title": "Back"}
        assert await world.count("url_previews") == 2
        await world.later(3 * 86_400)
        await world.sweeper.sweep()
        assert await world.count("url_previews") == await world.count("media") == 0
        assert world.files() == []

    browse(media_url, media_folder, pages, scenario)


def test_the_oldest_go_when_there_are_too_many(media_url: str, media_folder: Path) -> None:
    pages = {f"/{number}": html(b"<title>%d</title>" % number) for number in range(5)}

    async def scenario(world: World, server: OutsideServer) -> None:
        for path in pages:
            await preview(world, server.url + path)
            await world.later(1)
        await world.sweeper.sweep()
        rows = await world.db.fetch("SELECT preview FROM url_previews ORDER BY fetched_ts")
        assert [row[0] for row in rows] == ['{"og:title": "3"}', '{"og:title": "4"}']

    browse(media_url, media_folder, pages, scenario, previews={"cache_entries": 2})


def test_an_operator_who_wants_none(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        answered = await preview(world, f"{server.url}/")
        assert (answered.status, answered.errcode) == (404, "M_UNRECOGNIZED")
        assert server.connections == 0

    browse(media_url, media_folder, {"/": html(b"<title>x</title>")}, scenario, previews={"enabled": False})


# What a web may try

INSIDE = [
    "http://127.0.0.2:{port}/",
    "http://localhost:{port}/",
    "http://inside.test/",
    "http://both.test/",
    "http://10.1.2.3/",
    "http://169.254.169.254/latest/meta-data/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://2130706434:{port}/",
    "http://0x7f000002:{port}/",
    "http://0177.0.0.2:{port}/",
    "http://127.2:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.2]:{port}/",
    "http://[::ffff:7f00:2]:{port}/",
    "http://[::127.0.0.2]:{port}/",
    "http://[64:ff9b::7f00:2]:{port}/",
    "http://[2002:7f00:2::]:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fe80::1%25eth0]:{port}/",
    "http://[fd00::1]:{port}/",
    "http://[fec0::1]:{port}/",
    "http://[::ffff:0:7f00:2]:{port}/",
    "http://[64:ff9b:1::7f00:2]:{port}/",
    "http://[2001:0:0:0:0:0:80ff:fffd]:{port}/",
    "http://[ff02::1]:{port}/",
    "http://localhost.:{port}/",
    "http://\uff11\uff12\uff17.0.0.2:{port}/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
]


def test_nothing_inside_is_reached(media_url: str, media_folder: Path) -> None:
    """Directly, by a redirect, and as the picture of a page."""

    async def scenario(world: World, server: OutsideServer) -> None:
        for number, template in enumerate(INSIDE):
            inside = template.format(port=server.port)
            assert (await preview(world, inside)).status in (400, 404), inside
            redirect, image = f"/redirect{number}", f"/image{number}"
            pages[redirect] = answer(b"", 302, f"Location: {inside}")
            pages[image] = html(b'<title>x</title><meta property="og:image" content="%s">' % inside.encode())
            assert (await preview(world, server.url + redirect)).status == 404
            assert (await preview(world, server.url + image)).json == {"og:title": "x"}
        assert len(server.requests) == 2 * len(INSIDE)
        assert world.metric("viaduct_media_previews_total", outcome="refused") >= len(INSIDE)
        assert world.files() == []

    pages: dict[str, bytes] = {}
    browse(media_url, media_folder, pages, scenario)


def test_a_name_that_changes_its_address(media_url: str, media_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the second answer of a name server would be, what was judged is connected to."""

    async def scenario(world: World, server: OutsideServer) -> None:
        monkeypatch.setitem(NAMES, "turning.test", ["10.0.0.1"])
        assert (await preview(world, f"http://turning.test:{server.port}/")).status == 404
        assert server.connections == 0

    browse(media_url, media_folder, {"/": html(b"<title>x</title>")}, scenario)


@pytest.mark.parametrize("url", ["", "x", "file:///etc/passwd", "ftp://site.test/", "http://", "http://a b/", "gopher://x/",
    "http://user:password@site.test/", "http://site.test:99999/", "mxc://a/b", "http://" + "x" * 9000])  # fmt: skip
def test_what_is_no_url(media_url: str, media_folder: Path, url: str) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        answered = await preview(world, url)
        assert (answered.status, answered.errcode) == (400, "M_INVALID_PARAM")

    browse(media_url, media_folder, {}, scenario)


def test_bad_parameters(media_url: str, media_folder: Path) -> None:
    async def scenario(world: World, server: OutsideServer) -> None:
        assert (await world.get(f"{AUTHED}/preview_url")).errcode == "M_MISSING_PARAM"
        assert (await world.get(f"{AUTHED}/preview_url?url=http://site.test/&ts=x")).errcode == "M_INVALID_PARAM"

    browse(media_url, media_folder, {}, scenario)


def drip(talk: Talk) -> None:
    """A body that never ends, a byte at a time."""
    talk.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>x</title>")

    def more() -> None:
        if talk in talk.server.open:
            talk.write(b"x")
            reactor.callLater(0.02, more)

    more()


def flood(talk: Talk) -> None:
    """A body that never ends, as fast as it is taken."""
    talk.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>x</title>")
    talk.transport.registerProducer(_Endless(talk), False)


class _Endless:
    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def resumeProducing(self) -> None:
        self._talk.write(b"<p>" * 20_000)

    def stopProducing(self) -> None:
        """It was cut."""


def silent(talk: Talk) -> None:
    """Says nothing."""


def test_pages_that_do_not_end(media_url: str, media_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "SILENCE_S", 0.5)
    pages = {
        "/drip": drip,
        "/flood": flood,
        "/silent": silent,
        "/loop": answer(b"", 302, "Location: /loop"),
        "/head": lambda talk: talk.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000),
        "/huge": lambda talk: talk.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99999999999\r\n\r\n<title>huge</title>"
        ),
        "/gzip": answer(b"\x1f\x8b", 200, "Content-Type: text/html", "Content-Encoding: gzip"),
        "/garbage": lambda talk: talk.write(b"\0\1\2\r\n\r\n"),
        "/cut": lambda talk: (
            talk.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\nx"),
            talk.transport.loseConnection(),
        ),
    }

    async def scenario(world: World, server: OutsideServer) -> None:
        asked = {path: Deferred.fromCoroutine(preview(world, server.url + path)) for path in pages}
        answers = {path: await one for path, one in asked.items()}
        assert answers.pop("/flood").json == {"og:title": "x"}, "its beginning says enough"
        assert {path: one.status for path, one in answers.items()} == dict.fromkeys(answers, 404)
        await until(lambda: len(server.open) <= 2)  # of what ended well
        assert world.metric("viaduct_media_previews_total", outcome="failed") == len(answers)

    browse(media_url, media_folder, pages, scenario, previews={"timeout_ms": 1500, "page_bytes": 65_536})


def test_hostile_pictures(media_url: str, media_folder: Path) -> None:
    """None is shown; what is too large is not even read to its end."""
    pages: dict[str, bytes] = {"/large": html(b'<title>x</title><meta property="og:image" content="/picture">')}
    pages["/picture"] = answer(b"\x89PNG" + bytes(50_000), 200, "Content-Type: image/png")
    unmeasurable = {
        "empty": b"",
        "html": b"<html><script>alert(1)</script></html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "tiff": picture(600, 400, "TIFF")[:30_000],
        "bmp": picture(60, 40, "BMP"),
        "bomb": png_bomb(30_000, 30_000, b"\0"),
        "edge": png_bomb(2_000_000_000, 1, b"\0"),
    }
    for name, data in unmeasurable.items():
        pages[f"/{name}"] = html(b'<title>x</title><meta property="og:image" content="/picture/%s">' % name.encode())
        pages[f"/picture/{name}"] = answer(data, 200, "Content-Type: image/png")

    async def scenario(world: World, server: OutsideServer) -> None:
        asked = [path for path in pages if not path.startswith("/picture")]
        for path in asked:
            assert (await preview(world, server.url + path)).json == {"og:title": "x"}, path
        await world.background.drained()
        assert world.files() == []
        assert await world.count("media") == 0
        assert world.metric("viaduct_media_previews_total", outcome="without picture") == len(asked)

    browse(media_url, media_folder, pages, scenario, previews={"image_bytes": 40_000})
