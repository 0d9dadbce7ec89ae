"""A split that leaves accounts to an authentication service: its tokens, and how soon what it says holds everywhere."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.scenarios.authentication_service import SECRET, AuthenticationService, authentication_service
from tests.scenarios.client import Caller, User, http_session, unique
from tests.scenarios.server import Server

API = "urn:matrix:client:api:*"


@dataclass
class Ground:
    server: Server
    service: AuthenticationService


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with authentication_service() as service:
        server = Server(split=True)
        server.settings = service.settings
        with server:
            yield Ground(server, service)


def run(ground: Ground, play: Callable[[aiohttp.ClientSession, list[str]], Awaitable[None]]) -> None:
    async def prepared() -> None:
        async with http_session() as http:
            await play(http, [ground.server.url, *ground.server.worker_urls()])

    asyncio.run(prepared())


def test_a_session_of_the_service_from_its_first_request_to_its_end(ground: Ground) -> None:
    async def play(http: aiohttp.ClientSession, urls: list[str]) -> None:
        async def mas(path: str, **body: Any) -> None:
            headers = {"Authorization": f"Bearer {SECRET}"}
            where = f"{ground.server.url}/_synapse/mas/{path}"
            async with http.post(where, json=body, headers=headers) as answer:
                assert answer.status in (200, 201), await answer.text()

        anybody, name, token = Caller(http, urls), unique("oauth"), unique("token")
        metadata = await anybody.get(("auth_metadata",), version="v1")
        assert metadata == ground.service.metadata()
        await mas("provision_user", localpart=name, set_displayname="O.")
        await mas("upsert_device", localpart=name, device_id="PHONE")
        scope = f"{API} urn:matrix:client:device:PHONE"
        ground.service.tokens[token] = {"active": True, "username": name, "scope": scope}
        user_id = f"@{name}:localhost"
        user = User(http, urls, {"user_id": user_id, "device_id": "PHONE", "access_token": token})
        room_id = await user.create_room()
        for url in urls:
            assert (await user.get(("account", "whoami"), at=url))["device_id"] == "PHONE"
            assert room_id in (await user.get(("sync",), at=url))["rooms"]["join"]
        asked = ground.service.asked
        for url in urls:
            await user.get(("account", "whoami"), at=url)
        assert ground.service.asked == asked  # each worker remembers
        for locked in (True, False):
            await mas("provision_user", localpart=name, locked=locked)
            refused = {"status": 401, "errcode": "M_USER_LOCKED"} if locked else {}
            for url in urls:
                await user.get(("account", "whoami"), at=url, **refused)
        ground.service.tokens.clear()
        await mas("delete_device", localpart=name, device_id="PHONE")
        for url in urls:
            await user.get(("account", "whoami"), at=url, status=401, errcode="M_UNKNOWN_TOKEN")

    run(ground, play)
