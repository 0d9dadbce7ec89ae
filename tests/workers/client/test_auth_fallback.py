"""The pages of authentication stages, as a browser would go through them; and the pages for logging in."""

import re
from typing import Any

from hs_common.http.egress.client import Fetched
from hs_common.http.egress.failures import Unreachable
from hs_common.http.reply import Response
from tests.workers.client.conftest import Play
from tests.workers.client.postbox import EMAIL, Postbox
from tests.workers.client.world import PASSWORD, POLICY, World

BODY = {"username": "alice", "password": PASSWORD}


def text(page: Response) -> str:
    assert isinstance(page.body, bytes)
    return page.body.decode()


def path(stage: str, session: str) -> str:
    return f"/auth/{stage}/fallback/web?session={session}"


async def begin(world: World) -> str:
    """The session of a registration."""
    return str((await world.ask("POST", "/register", BODY)).json["session"])


async def finish(world: World, session: str) -> int:
    """What registering with nothing but the session answers."""
    return (await world.ask("POST", "/register", {"auth": {"session": session}})).status


def is_done(page: Response) -> bool:
    return page.status == 200 and "window.onAuthDone()" in text(page)


def test_registering_by_pages_alone(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.db.execute("INSERT INTO registration_tokens (token, uses_allowed) VALUES ('secret', 1)")
        session = await begin(world)
        token, terms = path("m.login.registration_token", session), path("m.login.terms", session)
        assert "Registration token" in text(await world.raw("GET", token))
        assert "Invalid registration token" in text(await world.submit(token, {"token": "wrong"}))
        early = await world.submit(terms, {})
        assert "No flow goes on with this stage" in text(early)
        assert is_done(await world.submit(token, {"token": "secret"}))
        assert is_done(await world.raw("GET", token))
        shown = text(await world.raw("GET", terms))
        assert f'href="{POLICY["url"]}"' in shown
        assert POLICY["name"] in shown
        assert await finish(world, session) == 401
        assert is_done(await world.submit(terms, {}))
        assert await finish(world, session) == 200
        assert "has ended" in text(await world.raw("GET", terms))

    play(scenario, registration={"requires_token": True}, terms={"policies": [POLICY]})


def test_pages_are_shown_for_stages_of_the_session_only(play: Play) -> None:
    async def scenario(world: World) -> None:
        session = await begin(world)
        assert (await world.raw("GET", path("m.login.terms", session))).status == 404
        assert (await world.raw("GET", path("m.login.unheard", session))).status == 404
        for wrong in ("", "x", "x" * 300):
            assert (await world.raw("GET", path("m.login.dummy", wrong))).status == 400
            assert (await world.submit(path("m.login.dummy", wrong), {})).status == 400
        assert (await world.submit(path("m.login.unheard", session), {})).status == 400
        assert is_done(await world.submit(path("m.login.dummy", session), {}))
        world.now_ms += 10**9
        assert "has ended" in text(await world.raw("GET", path("m.login.dummy", session)))

    play(scenario)


def test_pages_let_nothing_in(play: Play) -> None:
    async def scenario(world: World) -> None:
        page = await world.raw("GET", path("m.login.dummy", await begin(world)))
        headers = page.headers
        policy = headers["Content-Security-Policy"]
        [nonce] = set(re.findall(r"'nonce-([^']+)'", policy))
        assert f'<style nonce="{nonce}">' in text(page)
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        again = await world.raw("GET", path("m.login.dummy", await begin(world)))
        assert nonce not in again.headers["Content-Security-Policy"]
        huge = await world.raw("POST", path("m.login.dummy", await begin(world)), b"a=" + b"x" * 40_000)
        assert huge.status == 400

    play(scenario)


def test_the_password_on_a_page(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        new = {"new_password": "battery staple"}
        first = await world.ask("POST", "/account/password", new, token)
        where = path("m.login.password", first.json["session"])
        assert "@alice:example.org" in text(await world.raw("GET", where))
        assert "Invalid password" in text(await world.submit(where, {"password": "x"}))
        assert is_done(await world.submit(where, {"password": PASSWORD}))
        auth = {"auth": {"session": first.json["session"]}}
        assert (await world.ask("POST", "/account/password", {**new, **auth}, token)).json == {}
        anonymous = await world.ask("POST", "/account/password", {"new_password": "staple battery"})
        where = path("m.login.password", anonymous.json["session"])
        wrong = text(await world.submit(where, {"user": "<alice>", "password": "x"}))
        assert 'value="&lt;alice&gt;"' in wrong
        assert is_done(await world.submit(where, {"user": "alice", "password": "battery staple"}))

    play(scenario)


def hidden(page: Response) -> dict[str, str]:
    """The hidden fields of a form."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text(page)))


def test_confirming_an_address_on_pages(play: Play) -> None:
    postbox = Postbox()

    async def scenario(world: World) -> None:
        session = await begin(world)
        where = path("m.login.email.identity", session)
        assert "Your mail address" in text(await world.raw("GET", where))
        assert "not a mail address" in text(await world.submit(where, {"email": "nobody"}))
        sent = await world.submit(where, {"email": "alice@example.org"})
        assert "Look into your mails" in text(sent)
        early = await world.submit(where, hidden(sent))
        assert "not confirmed" in text(early)
        assert (await postbox.follow(world)).status == 200
        assert is_done(await world.submit(where, hidden(early)))
        assert await finish(world, session) == 200

    play(scenario, {"mailer": postbox.mailer}, email=EMAIL, registration={"requires_email": True})


class Checker:
    """Where answers to the captcha are checked."""

    def __init__(self) -> None:
        self.asked: list[bytes | None] = []
        self.fails = False

    async def fetch(self, purpose: Any, method: str, url: str, headers: Any, body: Any, limits: Any) -> Fetched:
        self.asked.append(body)
        if self.fails:
            raise Unreachable("away")
        said = b'{"success": true}' if b"response=right" in (body or b"") else b'{"success": false}'
        return Fetched(200, [], said, url)


def test_the_captcha(play: Play) -> None:
    checker = Checker()

    async def scenario(world: World) -> None:
        first = await world.ask("POST", "/register", BODY)
        assert first.json["params"] == {"m.login.recaptcha": {"public_key": "site"}}
        session = first.json["session"]
        where = path("m.login.recaptcha", session)
        page = await world.raw("GET", where)
        assert 'data-sitekey="site"' in text(page)
        assert "script-src 'nonce-" in page.headers["Content-Security-Policy"]
        assert "https://www.google.com/recaptcha/" in page.headers["Content-Security-Policy"]
        assert "not solved" in text(await world.submit(where, {"g-recaptcha-response": "wrong"}))
        auth = {"type": "m.login.recaptcha", "session": session}
        for said, errcode in (({}, "M_CAPTCHA_NEEDED"), ({"response": "no"}, "M_CAPTCHA_INVALID")):
            assert (await world.ask("POST", "/register", {"auth": {**auth, **said}})).errcode == errcode
        checker.fails = True
        assert (await world.ask("POST", "/register", {"auth": {**auth, "response": "right"}})).status == 503
        checker.fails = False
        assert is_done(await world.submit(where, {"g-recaptcha-response": "right"}))
        assert checker.asked[-1] == b"secret=private&response=right"
        assert await finish(world, session) == 200

    play(scenario, {"trusted": checker}, captcha={"public_key": "site", "private_key": "private"})


def test_pages_for_logging_in_and_registering(play: Play) -> None:
    async def scenario(world: World) -> None:
        for name, title in (("login", "Log in"), ("register", "Create an account")):
            for ending in ("/", "", "/index.html"):
                page = await world.raw("GET", f"/_matrix/static/client/{name}{ending}")
                assert page.status == 200
                assert f"<h1>{title}</h1>" in text(page)
                assert 'const API = "/_matrix/client/v3"' in text(page)

    play(scenario)
