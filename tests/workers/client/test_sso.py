"""Single sign-on at a real OpenID Connect provider, as a browser goes through it."""

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from hs_common.config.egress import Egress
from hs_common.http.egress.making import make_egress
from hs_common.http.reply import Response
from hs_common.replication.calls import RegisterUser
from tests.common.http.egress.outside import Seen
from tests.reactor import reactor
from tests.workers.client.conftest import Play
from tests.workers.client.oidc_provider import Browser, Provider, login_token, oidc_provider, text
from tests.workers.client.world import World

CLIENT = "https://app.example.org/?x=1"
REDIRECT = f"/login/sso/redirect?redirectUrl={quote(CLIENT, safe='')}"
ALICE = "@alice:example.org"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with oidc_provider() as running:
        yield running


def play_sso(
    play: Play,
    provider: Provider,
    scenario: Callable[[World, Browser], Awaitable[None]],
    *providers: dict[str, Any],
    **sections: Any,
) -> None:
    """A scenario with a browser, at the real time. Without `providers`: one."""
    egress = make_egress(reactor, Egress(allow=("127.0.0.0/8",)), Seen())

    async def played(world: World) -> None:
        world.now_ms = time.time_ns() // 1_000_000
        try:
            await scenario(world, Browser(world))
        finally:
            await egress.close()

    sso = {"providers": list(providers) or [provider.settings()], **sections.pop("sso", {})}
    play(played, {"trusted": egress.client}, sso=sso, **sections)


async def arrive(browser: Browser, subject: str, target: str = REDIRECT) -> Response:
    """From the client to the provider and back."""
    departure = await browser.get(target)
    assert departure.status == 302
    return await browser.sign_on(departure, subject)


async def enter(
    world: World, page: Response, client: str = "https://app.example.org/?x=1&loginToken="
) -> dict[str, Any]:
    """The session that the client gets."""
    body = {"type": "m.login.token", "token": login_token(page, client)}
    answer = await world.ask("POST", "/login", body)
    assert answer.status == 200, answer
    return dict(answer.json)


async def make_account(
    world: World, browser: Browser, provider: Provider, subject: str = "subject-1"
) -> dict[str, Any]:
    """An account for somebody new."""
    provider.know(subject, preferred_username="Alice", name="Alice A.")
    await arrive(browser, subject)
    await browser.post("/_viaduct/client/sso/name", localpart="alice", display_name="Alice")
    return await enter(world, await browser.post("/_viaduct/client/sso/continue"))


def test_somebody_new_chooses_a_name_and_comes_back_to_it(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await world.register("alice")
        flows = (await world.ask("GET", "/login")).json["flows"]
        assert flows[1] == {"type": "m.login.sso", "identity_providers": [{"id": "main", "name": "The main one"}]}
        provider.know("new-1", preferred_username="Alice", name="Alice <A>")
        page = await arrive(browser, "new-1")
        assert 'value="alice"' in text(page)
        assert 'value="Alice &lt;A&gt;"' in text(page)
        for wrong, reason in (("alice", "taken"), ("Älice", "consist of"), ("", "consist of")):
            page = await browser.post("/_viaduct/client/sso/name", localpart=wrong, display_name="A")
            assert reason in text(page)
        page = await browser.post("/_viaduct/client/sso/name", localpart="alice2", display_name="Alice A.")
        assert "<strong>app.example.org</strong>" in text(page)
        assert "@alice2:example.org" in text(page)
        # The name is chosen once.
        assert "has ended" in text(await browser.post("/_viaduct/client/sso/name", localpart="alice3"))
        session = await enter(world, await browser.post("/_viaduct/client/sso/continue"))
        assert session["user_id"] == "@alice2:example.org"
        assert (await world.ask("GET", "/profile/@alice2:example.org")).json == {"displayname": "Alice A."}
        assert "has ended" in text(await browser.post("/_viaduct/client/sso/continue"))
        again = Browser(world)
        await arrive(again, "new-1", REDIRECT.replace("redirect?", "redirect/main?"))
        session = await enter(world, await again.post("/_viaduct/client/sso/continue"))
        assert session["user_id"] == "@alice2:example.org"
        assert len(world.master.of(RegisterUser)) == 2

    play_sso(play, provider, scenario)


def test_a_trusted_client_is_let_in_without_being_asked(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        provider.know("trusting", preferred_username="bob", name="Bob")
        page = await arrive(browser, "trusting")
        assert (await enter(world, page))["user_id"] == "@bob:example.org"
        assert page.headers["Set-Cookie"].startswith("viaduct_sso=; Max-Age=0;")
        own = "/login/sso/redirect?redirectUrl=https%3A%2F%2Fmatrix.example.org%2F_matrix%2Fstatic%2Fclient%2Flogin%2F"
        page = await arrive(browser, "trusting", own)
        where = "https://matrix.example.org/_matrix/static/client/login/?loginToken="
        assert (await enter(world, page, where))["user_id"] == "@bob:example.org"

    settings = provider.settings(asks_for_name=False)
    play_sso(play, provider, scenario, settings, sso={"trusted_clients": ["https://app.example.org/"]})


def test_a_name_that_is_taken_is_asked_for_after_all(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await world.register("carol")
        provider.know("other-carol", preferred_username="carol", name="Carol")
        assert 'value="carol"' in text(await arrive(browser, "other-carol"))

    play_sso(play, provider, scenario, provider.settings(asks_for_name=False))


def test_existing_accounts_are_linked_only_where_the_operator_says_so(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await world.register("dave")
        provider.know("dave-there", preferred_username="dave", name="Dave")
        page = await arrive(browser, "dave-there")
        assert "@dave:example.org" in text(page)
        assert len(world.master.of(RegisterUser)) == 1

    play_sso(play, provider, scenario, provider.settings(links_existing=True))


def test_where_no_accounts_are_made(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        assert "There is no account here" in text(await arrive(browser, "stranger"))

    play_sso(play, provider, scenario, provider.settings(allows_registration=False))


def test_who_may_not_come_in(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await make_account(world, browser, provider, "locked-out")
        await world.db.execute("UPDATE users SET locked = true")
        assert "locked" in text(await arrive(browser, "locked-out"))
        await world.db.execute("UPDATE users SET locked = false, deactivated = true")
        assert "deactivated" in text(await arrive(browser, "locked-out"))
        departure = await browser.get(REDIRECT)
        assert "did not let you in" in text(await browser.sign_on(departure, "x", action="deny"))

    play_sso(play, provider, scenario)


def test_an_answer_belongs_to_the_browser_that_asked(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        departure = await browser.get(REDIRECT)
        victim = Browser(world)
        assert "begun in another browser" in text(await victim.sign_on(departure, "attacker"))
        await victim.get(REDIRECT)
        assert "begun in another browser" in text(await victim.sign_on(departure, "attacker"))
        # Nor is it good twice, nor later.
        callback = "/_viaduct/client/sso/callback?state=x&code=y"
        assert "Begin again" in text(await browser.get(callback))
        departure = await browser.get(REDIRECT)
        world.now_ms += 10 * 60 * 1000
        assert "Begin again" in text(await browser.sign_on(departure, "late"))
        for path in ("name", "continue"):
            assert "has ended" in text(await Browser(world).get(f"/_viaduct/client/sso/{path}"))
            assert "has ended" in text(await Browser(world).post(f"/_viaduct/client/sso/{path}"))

    play_sso(play, provider, scenario)


def test_several_providers(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = text(await browser.get(REDIRECT))
        link = f"/_matrix/client/v3/login/sso/redirect/two?redirectUrl={quote(CLIENT, safe='')}&amp;action=login"
        assert f'href="{link}"' in page
        assert "The two one" in page
        flows = (await world.ask("GET", "/login")).json["flows"]
        assert flows[0]["type"] == "m.login.sso"
        assert flows[0]["identity_providers"][1] == {"id": "two", "name": "The two one", "brand": "github"}
        assert (await world.login()).errcode == "M_UNKNOWN"
        await arrive(browser, "somebody", link.removeprefix("/_matrix/client/v3").replace("&amp;", "&"))
        # Who he is at one provider says nothing of the other.
        await browser.post("/_viaduct/client/sso/name", localpart="two")
        one = Browser(world)
        assert "Choose the name" in text(await arrive(one, "somebody", REDIRECT.replace("redirect?", "redirect/main?")))

    two = provider.settings("two", brand="github", client_authentication="client_secret_basic")
    play_sso(play, provider, scenario, provider.settings(), two, accounts={"password_login": False})


def test_what_is_no_way_to_sign_on(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        redirect = "/login/sso/redirect"
        assert (await world.ask("GET", redirect)).errcode == "M_MISSING_PARAM"
        for bad in (
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "/relative",
            "https://a b/",
            "x" * 5000,
        ):
            assert (await world.ask("GET", redirect, redirectUrl=bad)).errcode == "M_INVALID_PARAM"
        assert (await world.ask("GET", redirect, redirectUrl=CLIENT, action="x")).errcode == "M_INVALID_PARAM"
        assert (await world.raw("GET", f"{redirect}/nobody", redirectUrl=CLIENT)).status == 404
        app = await browser.get(f"{redirect}?redirectUrl=im.app%3A%2Fcallback%3Fa%3Db%23c")
        await browser.sign_on(app, "app")
        page = await browser.post("/_viaduct/client/sso/name", localpart="app")
        assert "<strong>im.app:</strong>" in text(page)
        where = (await browser.post("/_viaduct/client/sso/continue")).headers["Location"]
        assert where.startswith("im.app:/callback?a=b&loginToken=vlt_")
        assert where.endswith("#c")
        wanting = await browser.get(f"{REDIRECT}&action=register")
        assert "prompt=create" in wanting.headers["Location"]

    play_sso(play, provider, scenario)


def test_without_providers(play: Play) -> None:
    async def scenario(world: World) -> None:
        assert (await world.ask("GET", "/login/sso/redirect", redirectUrl=CLIENT)).errcode == "M_NOT_FOUND"

    play(scenario)


def test_a_provider_that_cannot_be_used(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        away = await browser.get(REDIRECT.replace("redirect?", "redirect/away?"))
        assert (away.status, "cannot be used" in text(away)) == (503, True)
        liar = await browser.get(REDIRECT.replace("redirect?", "redirect/liar?"))
        assert liar.status == 503
        wrong = await browser.get(REDIRECT.replace("redirect?", "redirect/wrong?"))
        assert "cannot be used" in text(await browser.sign_on(wrong, "x"))

    away = provider.settings("away", issuer="http://127.0.0.1:1")
    liar = provider.settings("liar", issuer=f"{provider.issuer}/")
    wrong = provider.settings("wrong", client_secret="not it")
    play_sso(play, provider, scenario, away, liar, wrong)


def test_signing_on_shows_that_an_account_is_ones_own(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        session = await make_account(world, browser, provider, "uia")
        token, device = session["access_token"], session["device_id"]
        path = f"/devices/{device}"
        first = await world.ask("DELETE", path, {}, token)
        assert first.json["flows"] == [{"stages": ["m.login.sso"]}]
        uia = first.json["session"]
        attempt = await world.ask("DELETE", path, {"auth": {"type": "m.login.sso", "session": uia}}, token)
        assert (attempt.status, attempt.errcode) == (401, "M_FORBIDDEN")
        where = f"/auth/m.login.sso/fallback/web?session={uia}"
        page = text(await browser.get(where))
        assert "<strong>remove a device</strong>" in page
        assert 'value="main"' in page
        provider.know("somebody-else", name="x")
        stranger = await browser.sign_on(await browser.post(where, provider="main"), "somebody-else")
        assert "no account here" in text(stranger)
        assert "does not know" in text(await browser.post(where, provider="x"))
        departure = await browser.post(where, provider="main")
        assert "prompt=login" in departure.headers["Location"]
        assert "window.onAuthDone()" in text(await browser.sign_on(departure, "uia"))
        done = await world.ask("DELETE", path, {"auth": {"session": uia}}, token)
        assert done.json == {}

    play_sso(play, provider, scenario)


def test_signing_on_as_somebody_else_shows_nothing(play: Play, provider: Provider) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        token = (await make_account(world, browser, provider, "victim"))["access_token"]
        provider.know("thief", preferred_username="thief", name="T")
        other = Browser(world)
        await arrive(other, "thief")
        await other.post("/_viaduct/client/sso/name", localpart="thief")
        uia = (await world.ask("POST", "/account/deactivate", {}, token)).json["session"]
        departure = await other.post(f"/auth/m.login.sso/fallback/web?session={uia}", provider="main")
        assert "somebody else" in text(await other.sign_on(departure, "thief"))
        assert (await world.ask("POST", "/account/deactivate", {"auth": {"session": uia}}, token)).status == 401

    play_sso(play, provider, scenario)
