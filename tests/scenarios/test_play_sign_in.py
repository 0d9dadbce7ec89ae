"""Getting in, in a split: by mail with a real SMTP server, by a real identity provider; and being kept out."""

import asyncio
import base64
import re
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import aiohttp
import pytest

from tests.common.email.smtp_server import Postbox
from tests.scenarios.client import PASSWORD, Caller, User, http_session, register, unique
from tests.scenarios.server import Server
from tests.scenarios.sign_in import sign_in_services
from tests.workers.client.oidc_provider import Provider


@dataclass
class Ground:
    """A server that sends mail and knows an identity provider."""

    server: Server
    postbox: Postbox
    provider: Provider

    @property
    def urls(self) -> list[str]:
        return [self.server.url, *self.server.worker_urls()]

    async def link(self) -> str:
        """The link in the newest mail."""
        [link] = re.findall(r"http://\S+", self.postbox.mails[-1].text)
        return str(link)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    server = Server(split=True)
    with sign_in_services(server) as (postbox, provider), server:
        yield Ground(server, postbox, provider)


def run(ground: Ground, play: Callable[[aiohttp.ClientSession, Caller], Awaitable[None]]) -> None:
    async def prepared() -> None:
        async with http_session() as http:
            await play(http, Caller(http, ground.urls))

    asyncio.run(prepared())


def test_an_address_from_the_first_mail_to_a_new_password(ground: Ground) -> None:
    async def play(http: aiohttp.ClientSession, anybody: Caller) -> None:
        name = unique("mailed")
        address = f"{name}@example.org"
        wanted = {"username": name, "password": PASSWORD}
        asked = await anybody.post(("register",), wanted, status=401)
        assert {"stages": ["m.login.email.identity"]} in asked["flows"]

        async def confirmed(*kind: str) -> dict[str, Any]:
            body = {"client_secret": unique("secret"), "email": address, "send_attempt": 1}
            sid = (await anybody.post((*kind, "email", "requestToken"), body))["sid"]
            parts = urlsplit(await ground.link())
            form = dict(parse_qsl(parts.query))
            async with http.post(f"{parts.scheme}://{parts.netloc}{parts.path}", data=form) as page:
                assert page.status == 200, await page.text()
            credentials = {"sid": sid, "client_secret": body["client_secret"]}
            return {"type": "m.login.email.identity", "threepid_creds": credentials}

        auth = {**await confirmed("register"), "session": asked["session"]}
        alice = User(http, anybody.urls, await anybody.post(("register",), {**wanted, "auth": auth}))
        [kept] = (await alice.get(("account", "3pid")))["threepids"]
        assert (kept["medium"], kept["address"]) == ("email", address)
        reset = {"new_password": "a new password", "auth": await confirmed("account", "password")}
        await anybody.post(("account", "password"), reset)
        await alice.get(("account", "whoami"), status=401, errcode="M_UNKNOWN_TOKEN")
        identifier = {"type": "m.id.thirdparty", "medium": "email", "address": address}
        login = {"type": "m.login.password", "identifier": identifier, "password": "a new password"}
        assert (await anybody.post(("login",), login))["user_id"] == alice.user_id

    run(ground, play)


def test_signing_on_at_a_provider(ground: Ground) -> None:
    async def play(http: aiohttp.ClientSession, anybody: Caller) -> None:
        name = unique("signed")
        ground.provider.know(name, preferred_username=name, name="Signed")
        jar = aiohttp.CookieJar(unsafe=True)  # of an address, not a name
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            start = f"{ground.server.url}/_matrix/client/v3/login/sso/redirect"
            query = {"redirectUrl": "https://app.example.org/"}
            async with browser.get(start, params=query, allow_redirects=False) as away:
                departure = away.headers["Location"]
            async with browser.post(departure, data={"sub": name, "action": "allow"}) as page:
                assert "Create your account" in await page.text()
            where = f"{ground.server.url}/_viaduct/client/sso"
            async with browser.post(f"{where}/name", data={"localpart": name, "display_name": "S"}) as page:
                assert "app.example.org" in await page.text()
            async with browser.post(f"{where}/continue", allow_redirects=False) as back:
                token = dict(parse_qsl(urlsplit(back.headers["Location"]).query))["loginToken"]
        session = await anybody.post(("login",), {"type": "m.login.token", "token": token})
        user = User(http, anybody.urls, session)
        asked = await user.delete(("devices", user.device_id), status=401)
        assert asked["flows"] == [{"stages": ["m.login.sso"]}]

    run(ground, play)


def test_locking_and_suspending_hold_on_every_worker_at_once(ground: Ground) -> None:
    async def play(http: aiohttp.ClientSession, anybody: Caller) -> None:
        root, alice = await register(http, anybody.urls, "root"), await register(http, anybody.urls, "alice")
        said = ground.server.command("admin", "users", "make-admin", root.user_id)
        assert said == f"{root.user_id} is an administrator.\n"
        path = ("admin", "lock", alice.user_id)
        room_id = await alice.create_room()
        for url in ground.urls:
            await alice.get(("account", "whoami"), at=url)  # each knows the token now
        first = await alice.get(("sync",))
        waiting = asyncio.ensure_future(_sync(alice, first["next_batch"]))
        for locked in (True, False, True):
            assert await root.put(path, {"locked": locked}, version="v1") == {"locked": locked}
            if not locked:
                await _unlocked(alice, ground.urls)
                continue
            for url in ground.urls:
                await alice.get(("account", "whoami"), at=url, status=401, errcode="M_USER_LOCKED")
        assert await waiting in (200, 401)
        await root.put(path, {"locked": False}, version="v1")
        await _unlocked(alice, ground.urls)
        await root.put(("admin", "suspend", alice.user_id), {"suspended": True}, version="v1")
        for url in ground.urls:
            send = ("rooms", room_id, "send", "m.room.message", unique("t"))
            await alice.put(send, {"body": "x"}, at=url, status=403, errcode="M_USER_SUSPENDED")
            await alice.get(("sync",), at=url)

    run(ground, play)


def test_a_lock_holds_where_the_log_does_not_come(ground: Ground) -> None:
    async def play(http: aiohttp.ClientSession, anybody: Caller) -> None:
        root, alice = await register(http, anybody.urls, "root"), await register(http, anybody.urls, "alice")
        ground.server.command("admin", "users", "make-admin", root.user_id)
        room_id = await alice.create_room()
        for url in ground.urls:
            await alice.get(("account", "whoami"), at=url)
        ground.server.signal("redis", signal.SIGSTOP)
        try:
            await root.put(("admin", "lock", alice.user_id), {"locked": True}, version="v1")
            send = ("rooms", room_id, "send", "m.room.message")
            refused = {"status": 401, "errcode": "M_USER_LOCKED"}
            await asyncio.gather(
                *(alice.put((*send, unique("t")), {"body": "x"}, at=url, **refused) for url in ground.urls),
                *(alice.get(("joined_rooms",), at=url, **refused) for url in ground.urls),
            )
        finally:
            ground.server.signal("redis", signal.SIGCONT)

    run(ground, play)


def test_an_administrator_acts_as_a_user_on_every_worker_while_he_is_one(ground: Ground) -> None:
    async def play(http: aiohttp.ClientSession, anybody: Caller) -> None:
        root, alice = await register(http, anybody.urls, "root"), await register(http, anybody.urls, "alice")
        ground.server.command("admin", "users", "make-admin", root.user_id)
        room_id = await alice.create_room()
        acting, other = [await _acting(root, alice) for _ in range(2)]
        for url in ground.urls:
            assert await acting.get(("account", "whoami"), at=url) == {"user_id": alice.user_id, "is_guest": False}
        send = ("rooms", room_id, "send", "m.room.message", "the same transaction id")
        sent = {(await one.put(send, {"body": "x"}))["event_id"] for one in (acting, other, acting)}
        assert len(sent) == 2
        await acting.get(("sync",))
        await acting.post(("keys", "upload"), {}, status=400, errcode="M_INVALID_PARAM")
        public = base64.b64encode(bytes(31) + b"k").decode().rstrip("=")
        key = {"user_id": alice.user_id, "usage": ["master"], "keys": {f"ed25519:{public}": public}}
        vouching = ("keys", "device_signing", "upload")
        await acting.post(vouching, {"master_key": key}, status=403, errcode="M_FORBIDDEN")
        await alice.post(vouching, {"master_key": key})
        assert [one["device_id"] for one in (await acting.get(("devices",)))["devices"]] == [alice.device_id]
        await alice.post(("logout", "all"))
        await acting.get(("account", "whoami"))
        ground.server.command("admin", "users", "end-admin", root.user_id)
        for url in ground.urls:
            await acting.get(("account", "whoami"), at=url, status=401, errcode="M_UNKNOWN_TOKEN")

    run(ground, play)


async def _acting(root: User, user: User) -> User:
    """The administrator, as the user."""
    url = f"{root.urls[0]}/_synapse/admin/v1/users/{quote(user.user_id)}/login"
    async with root.http.post(url, json={}, headers={"Authorization": f"Bearer {root.access_token}"}) as answer:
        told = await answer.json()
    return User(root.http, user.urls, {"user_id": user.user_id, "device_id": "", **told})


async def _unlocked(user: User, urls: Sequence[str]) -> None:
    """A lock holds at once; that it is gone may take each worker a moment to hear."""
    for url in urls:
        for _ in range(100):
            if (await user.ask("GET", ("account", "whoami"), at=url)).status == 200:
                break
            await asyncio.sleep(0.05)
        await user.get(("account", "whoami"), at=url)


async def _sync(user: User, since: str) -> int:
    """The status of a long poll that is under way meanwhile."""
    return (await user.ask("GET", ("sync",), query={"since": since, "timeout": 3000})).status
