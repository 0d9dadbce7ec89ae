"""A real OpenID Connect provider, in a process of its own, and a browser that walks between it and the server."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from hs_common.http.reply import Response
from tests.workers.client.world import World

OWN = "https://matrix.example.org"
CALLBACK = f"{OWN}/_viaduct/client/sso/callback"
START_LIMIT_S = 20.0


@dataclass(frozen=True)
class Provider:
    """Where it is, and who we are there."""

    port: int
    client_id: str
    client_secret: str

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, name: str = "main", **more: Any) -> dict[str, Any]:
        """As in the config."""
        return {
            "id": name,
            "name": f"The {name} one",
            "issuer": self.issuer,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            **more,
        }

    def know(self, subject: str, **claims: str) -> None:
        """Makes somebody known."""
        assert ask(self.port, "PUT", f"/users/{subject}", json.dumps(claims), "application/json")[0] == 204


@contextmanager
def oidc_provider(callback: str = CALLBACK) -> Iterator[Provider]:
    """Runs until the block ends; sends browsers back to there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--port", str(port), "--require-registration", "true", "--require-nonce", "true"]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        body = json.dumps({"redirect_uris": [callback]})
        _, _, said = ask(port, "POST", "/oauth2/clients", body, "application/json")
        client = json.loads(said)
        yield Provider(port, client["client_id"], client["client_secret"])
    finally:
        process.kill()
        process.wait()


def _wait(port: int) -> None:
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, "the provider did not start"
            time.sleep(0.05)


def ask(port: int, method: str, target: str, body: str | None = None, kind: str = "") -> tuple[int, str, str]:
    """Status, Location and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, target, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location") or "", answer.read().decode()
    finally:
        connection.close()


@dataclass
class Browser:
    """Keeps cookies of the server, follows its redirects as far as they stay there."""

    world: World
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, target: str) -> Response:
        """A page of the server, after redirects within it."""
        return await self._follow(await self.world.raw("GET", _own(target), headers=self._sent()))

    async def post(self, target: str, **fields: str) -> Response:
        """The same, after a form."""
        return await self._follow(await self.world.submit(_own(target), fields, self._sent()))

    async def sign_on(self, departure: Response, subject: str, action: str = "allow") -> Response:
        """At the provider as somebody, and back."""
        url = urlsplit(departure.headers["Location"])
        form = urlencode({"sub": subject, "action": action})
        target = f"{url.path}?{url.query}"
        status, back, said = ask(url.port or 0, "POST", target, form, "application/x-www-form-urlencoded")
        assert status == 302, said
        assert back.startswith(CALLBACK)
        return await self.get(back)

    def _sent(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    async def _follow(self, page: Response) -> Response:
        if "Set-Cookie" in page.headers:
            [(name, value)] = re.findall(r"^(\w+)=([^;]*)", page.headers["Set-Cookie"])
            assert "HttpOnly; SameSite=Lax; Secure" in page.headers["Set-Cookie"]
            self.cookies[name] = value
        where = page.headers.get("Location", "")
        return await self.get(where) if where.startswith("/") else page


def _own(target: str) -> str:
    return target.removeprefix(OWN)


def text(page: Response) -> str:
    assert isinstance(page.body, bytes)
    return page.body.decode()


def login_token(page: Response, client: str) -> str:
    """The token with which the client is sent off."""
    where = page.headers["Location"]
    assert where.startswith(client), where
    return dict(parse_qsl(urlsplit(where).query))["loginToken"]
