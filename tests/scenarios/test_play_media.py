"""Media against real processes: whichever of them a client reaches, it gets what it, or somebody else, uploaded."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from aiohttp import ClientResponse

from tests.scenarios.client import Json, User, http_session, register
from tests.scenarios.server import Server
from tests.workers.media.pictures import opened, picture

Play = Callable[[User, User, list[str]], Awaitable[None]]


def run(server: Server, play: Play) -> None:
    """Play with Alice and Bob, and the addresses of all processes that take requests."""

    async def prepared() -> None:
        async with http_session() as http:
            urls = [server.url, *server.worker_urls()]
            alice, bob = await register(http, urls, "alice"), await register(http, urls, "bob")
            for url in urls:
                await until_served(alice, url)
            await play(alice, bob, urls)

    asyncio.run(prepared())


async def until_served(user: User, url: str) -> None:
    """Waits until that process knows of a media worker; shortly after the start it may not."""
    for _ in range(100):
        if (await get(user, url, "config"))[0].status == 200:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{url} finds no media worker")


def bearing(user: User, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {user.access_token}", **more}


async def upload(user: User, url: str, data: bytes, content_type: str) -> str:
    """The content URI without its scheme: what paths are made of."""
    headers = bearing(user, **{"Content-Type": content_type})
    async with user.http.post(f"{url}/_matrix/media/v3/upload?filename=a.png", data=data, headers=headers) as response:
        answer: Json = await response.json()
        assert response.status == 200, answer
        return str(answer["content_uri"]).removeprefix("mxc://")


async def get(user: User, url: str, path: str, **headers: str) -> tuple[ClientResponse, bytes]:
    where = f"{url}/_matrix/client/v1/media/{path}"
    async with user.http.get(where, headers=bearing(user, **headers)) as response:
        return response, await response.read()


def test_what_one_uploads_anywhere_another_downloads_anywhere(server: Server) -> None:
    async def play(alice: User, bob: User, urls: list[str]) -> None:
        for size, url in zip((1, 50_000, 3_000_000, 20_000_000) * 2, urls * 8, strict=False):
            data = os.urandom(size)
            uri = await upload(alice, url, data, "application/octet-stream")
            for other in urls:
                response, body = await get(bob, other, f"download/{uri}")
                assert (response.status, body) == (200, data)
                assert response.headers["Content-Disposition"] == 'attachment; filename="a.png"'
            response, body = await get(bob, url, f"download/{uri}", Range="bytes=0-9")
            assert (response.status, body) == (206, data[:10])

    run(server, play)


def test_thumbnails_of_an_avatar(server: Server) -> None:
    async def play(alice: User, bob: User, urls: list[str]) -> None:
        uri = await upload(alice, urls[0], picture(800, 600), "image/png")
        await alice.put(("profile", alice.user_id, "avatar_url"), {"avatar_url": f"mxc://{uri}"})
        for url in urls:
            response, body = await get(bob, url, f"thumbnail/{uri}?width=96&height=96&method=crop")
            assert response.status == 200
            assert opened(body).size == (96, 96)

    run(server, play)


def test_an_upload_that_is_too_large_is_refused_anywhere(server: Server) -> None:
    async def play(alice: User, bob: User, urls: list[str]) -> None:
        for url in urls:
            _, config = await get(alice, url, "config")
            assert config == b'{"m.upload.size":52428800}'
            headers = bearing(alice)
            where = f"{url}/_matrix/media/v3/upload"
            async with alice.http.post(where, data=bytes(52_428_801), headers=headers, expect100=True) as response:
                assert (response.status, (await response.json())["errcode"]) == (413, "M_TOO_LARGE")

    run(server, play)


def test_an_id_that_is_created_first_is_waited_for(server: Server) -> None:
    async def play(alice: User, bob: User, urls: list[str]) -> None:
        headers = bearing(alice)
        async with alice.http.post(f"{urls[0]}/_matrix/media/v1/create", headers=headers) as response:
            uri = (await response.json())["content_uri"].removeprefix("mxc://")
        waiting = asyncio.create_task(get(bob, urls[-1], f"download/{uri}"))
        where = f"{urls[0]}/_matrix/media/v3/upload/{uri}"
        async with alice.http.put(where, data=b"later", headers=headers) as response:
            assert response.status == 200
        assert (await waiting)[1] == b"later"

    run(server, play)
