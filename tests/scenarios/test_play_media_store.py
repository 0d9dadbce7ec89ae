"""Media in an object store alone, against real processes: whichever of them a client reaches, and whatever an operator
does with the command line and the admin API, in the store too."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import psycopg2
import pytest

from tests.scenarios.client import Json, User
from tests.scenarios.ports import PortBlock
from tests.scenarios.server import Server
from tests.scenarios.test_play_media import bearing, get, run, upload
from tests.workers.media.object_store import ObjectStore, running_object_store
from tests.workers.media.pictures import opened, picture

TOTAL_BYTES: Final = 40_000_000
DAY_MS: Final = 86_400_000

PURGES = 5
"""A worker notes once a minute what was read, and may do so just before one of them."""


@dataclass
class Ground:
    """The server, and the store that it keeps everything in."""

    server: Server
    store: ObjectStore

    async def command(self, *arguments: str) -> str:
        """What an operator's command says."""
        return await asyncio.to_thread(self.server.command, "admin", "media", *arguments)

    async def days_pass(self, days: int) -> None:
        """For all that is stored: as if it had come so much earlier."""
        await asyncio.to_thread(self._age, days * DAY_MS)

    def _age(self, by_ms: int) -> None:
        connection = psycopg2.connect(self.server.database_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("UPDATE media SET created_ts = created_ts - %s, accessed_ts = 0", (by_ms,))
        finally:
            connection.close()

    def has(self, data: bytes) -> bool:
        """Whether the store holds these bytes."""
        digest = hashlib.sha256(data).hexdigest()
        return any(key.endswith(digest) for key in self.store.objects())

    async def is_gone(self, data: bytes) -> None:
        """Waits until the store holds these bytes no more."""
        for _ in range(600):
            if not self.has(data):
                return
            await asyncio.sleep(0.1)
        pytest.fail("the bytes are still there")


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with ExitStack() as stack:
        ports = stack.enter_context(PortBlock())
        store = stack.enter_context(running_object_store(ports.first))
        server = Server(split=True)
        values = "\n".join(f"{name} = {json.dumps(value)}" for name, value in store.options().items())
        server.settings = f'\n[media]\nfolder = "/nowhere"\ntotal_bytes = {TOTAL_BYTES}\n\n[media.s3]\n{values}\n'
        stack.enter_context(server)
        yield Ground(server, store)


@asynccontextmanager
async def ending_empty(ground: Ground) -> AsyncIterator[None]:
    """What the play leaves is deleted, by the operator, in the store too."""
    yield
    for _ in range(PURGES):
        await ground.days_pass(1)
        await ground.command("purge", "--days", "0", "--local", "--profiles", "--yes")
        if not ground.store.objects():
            return
    pytest.fail(f"these are left: {ground.store.objects()}")


def test_an_object_store_alone(ground: Ground) -> None:
    """Real processes without any folder: whichever of them a client reaches, what it is given comes from the store."""

    async def play(alice: User, bob: User, urls: list[str]) -> None:
        async with ending_empty(ground):
            for url in urls:
                data = os.urandom(3_000_000)
                uri = await upload(alice, url, data, "application/octet-stream")
                for other in urls:
                    response, body = await get(bob, other, f"download/{uri}")
                    assert (response.status, body) == (200, data)
            shown = await upload(alice, urls[0], picture(800, 600), "image/png")
            response, body = await get(bob, urls[-1], f"thumbnail/{shown}?width=96&height=96&method=crop")
            assert opened(body).size == (96, 96)
            assert len(ground.store.objects()) == len(urls) + 2

    run(ground.server, play)


async def status_of(user: User, url: str, uri: str) -> int:
    return (await get(user, url, f"download/{uri}"))[0].status


async def admin_api(user: User, url: str, method: str, path: str) -> Json:
    where = f"{url}/_synapse/admin/v1/{path}"
    async with user.http.request(
        method, where, json={} if method == "POST" else None, headers=bearing(user)
    ) as response:
        answer: Json = await response.json()
        assert response.status == 200, answer
        return answer


def test_an_operator_quarantines_and_deletes(ground: Ground) -> None:
    """By id and by hash, from both sides; what is deleted is gone from the store."""

    async def play(alice: User, bob: User, urls: list[str]) -> None:
        root, url = bob, urls[0]
        await asyncio.to_thread(ground.server.command, "admin", "users", "make-admin", root.user_id)
        async with ending_empty(ground):
            one, other = os.urandom(200_000), os.urandom(300_000)
            first, twin = [await upload(alice, url, one, "image/png") for _ in range(2)]
            third = await upload(alice, url, other, "image/png")
            assert len(ground.store.objects()) == 2  # the same bytes once
            users = (await admin_api(root, url, "GET", f"statistics/users/media?search_term={quote(alice.user_id)}"))[
                "users"
            ]
            assert [(each["media_count"], each["media_length"]) for each in users] == [(3, 700_000)]
            assert f"{alice.user_id}\t3\t" in await ground.command("usage")

            await admin_api(root, url, "POST", f"media/quarantine/{third}")
            assert await status_of(alice, url, third) == 404
            await admin_api(root, url, "POST", f"media/unquarantine/{third}")
            assert await status_of(alice, url, third) == 200

            await ground.command("quarantine", hashlib.sha256(one).hexdigest())
            assert [await status_of(alice, url, uri) for uri in (first, twin)] == [404, 404]
            assert await status_of(alice, url, await upload(bob, url, one, "image/png")) == 404  # again, by another
            await ground.command("release", hashlib.sha256(one).hexdigest())
            assert await status_of(alice, url, first) == 200

            await ground.days_pass(1)
            await admin_api(root, url, "DELETE", f"media/{third}")
            assert (await status_of(alice, url, third), ground.has(other)) == (404, False)
            await ground.command("delete", f"mxc://{first}", "--yes")
            assert (await status_of(alice, url, first), ground.has(one)) == (404, True)  # others have these bytes
            assert await status_of(alice, url, twin) == 200
            for user in (alice, bob):
                await admin_api(root, url, "DELETE", f"users/{quote(user.user_id)}/media")
            assert await status_of(alice, url, twin) == 404
            await ground.is_gone(one)  # after the answer

    run(ground.server, play)


def test_quotas_and_what_was_not_asked_for_lately(ground: Ground) -> None:
    async def play(alice: User, bob: User, urls: list[str]) -> None:
        async with ending_empty(ground):
            await ground.command("quota", alice.user_id, "1")
            assert await refused(alice, urls[0], 1_048_577)
            old, fresh = os.urandom(1_000_000), os.urandom(2_000_000)
            kept = await upload(alice, urls[0], old, "image/png")
            assert await refused(alice, urls[0], 1_000_000)

            await ground.days_pass(40)
            asked_for = await upload(bob, urls[0], fresh, "image/png")
            said = await ground.command("purge", "--days", "30", "--local", "--yes")
            assert said == "Deleted 1.\n"
            await ground.is_gone(old)
            assert ground.has(fresh)
            assert await status_of(bob, urls[0], kept) == 404
            assert await status_of(bob, urls[0], asked_for) == 200
            assert not await refused(alice, urls[0], 1_000_000)  # there is space for it again

            sent = 0
            while not await refused(bob, urls[0], 9_000_000):
                sent += 1
            assert sent <= 4  # no more than 40 MB together; what was deleted just now may still count

    run(ground.server, play)


async def refused(user: User, url: str, size: int) -> bool:
    """Whether so many bytes more are refused."""
    data, where = os.urandom(size), f"{url}/_matrix/media/v3/upload"
    async with user.http.post(where, data=data, headers=bearing(user)) as response:
        answer: Json = await response.json()
        assert (response.status, answer.get("errcode")) in ((200, None), (403, "M_FORBIDDEN")), answer
        return response.status == 403
