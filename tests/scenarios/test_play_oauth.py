"""A split that leaves accounts to an authentication service: its tokens, and how soon what it says holds everywhere."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest

from tests.scenarios.client import Caller, User, http_session, unique
from tests.scenarios.server import Server

SECRET = "known to the service and to the server"
API = "urn:matrix:client:api:*"


@dataclass
class Service:
    """What it says of tokens; `asked` counts how often."""

    port: int = 0
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: int = 0

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def metadata(self) -> dict[str, Any]:
        lists = {"response_types_supported": ["code"], "grant_types_supported": ["authorization_code"]}
        lists |= {"response_modes_supported": ["query"], "code_challenge_methods_supported": ["S256"]}
        names = ("authorization", "token", "revocation", "registration", "introspection")
        return {"issuer": self.issuer, **lists, **{f"{name}_endpoint": f"{self.issuer}{name}" for name in names}}


@dataclass
class Ground:
    server: Server
    service: Service


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    service = Service()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(service.metadata())

        def do_POST(self) -> None:
            assert self.headers["Authorization"] == f"Bearer {SECRET}"
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            service.asked += 1
            self._answer(service.tokens.get(form["token"][0], {"active": False}))

        def _answer(self, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    service.port = web.server_port
    threading.Thread(target=web.serve_forever, daemon=True).start()
    server = Server(split=True)
    server.settings = f'\n[oauth]\nissuer = "{service.issuer}"\nsecret = "{SECRET}"\n'
    try:
        with server:
            yield Ground(server, service)
    finally:
        web.shutdown()
        web.server_close()


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
