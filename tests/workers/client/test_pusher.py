"""Setting and listing pushers over the endpoints and the real master."""

from collections.abc import Awaitable, Callable
from typing import Any

from hs_common.email.unsubscribing import Unsubscribing
from hs_common.replication.calls import RemovePusher, SetPusher
from hs_common.storage.threepids import Threepid, add_threepid
from tests.master.harness import master
from tests.reactor import run
from tests.workers.client.conftest import Play
from tests.workers.client.postbox import ADDRESS, Postbox
from tests.workers.client.test_with_the_master import NearLink
from tests.workers.client.world import World, config

URL = "https://push.example.org/_matrix/push/v1/notify"
BODY: dict[str, Any] = {
    "app_id": "org.app",
    "pushkey": "key",
    "kind": "http",
    "app_display_name": "App",
    "device_display_name": "Phone",
    "lang": "en",
    "data": {"url": URL, "format": "event_id_only"},
}


def test_pushers_over_the_endpoints(database_url: str) -> None:
    async def life() -> None:
        async with master(database_url) as near:
            world = World(database_url, config(server={"name": "test"}), master=NearLink(near))
            try:
                await play(world)
            finally:
                await world.db.close()

    run(life())


async def play(world: World) -> None:
    alice = (await world.register(device_id="PHONE"))["access_token"]
    bob = (await world.register("bob"))["access_token"]

    async def listed(token: str) -> list[dict[str, Any]]:
        answer = await world.ask("GET", "/pushers", token=token)
        return list(answer.json["pushers"])

    assert await listed(alice) == []
    assert (await world.ask("POST", "/pushers/set", BODY, alice)).json == {}
    assert (await world.ask("POST", "/pushers/set", {**BODY, "profile_tag": "x", "pushkey": "2"}, alice)).json == {}
    assert await listed(alice) == [BODY, {**BODY, "profile_tag": "x", "pushkey": "2"}]
    assert (await world.ask("POST", "/pushers/set", BODY, bob)).json == {}
    assert [one["pushkey"] for one in await listed(alice)] == ["2"]
    assert await listed(bob) == [BODY]
    gone = {"app_id": "org.app", "pushkey": "2", "kind": None}
    for _ in range(2):  # a pusher that is not there counts as deleted
        assert (await world.ask("POST", "/pushers/set", gone, alice)).json == {}
    assert await listed(alice) == []
    near_url = {**BODY, "data": {"url": "http://127.0.0.1/_matrix/push/v1/notify"}}
    for wrong in (near_url, {**BODY, "kind": "pigeon"}, {**BODY, "data": {}}, {}):
        answer = await world.ask("POST", "/pushers/set", wrong, alice)
        assert answer.status == 400
        assert answer.errcode in ("M_INVALID_PARAM", "M_MISSING_PARAM")
    assert (await world.ask("POST", "/pushers/set", {})).errcode == "M_MISSING_TOKEN"
    await world.ask("POST", "/pushers/set", BODY, alice)
    await world.ask("POST", "/logout", {}, alice)
    rows = await world.db.fetch("SELECT 1 FROM pushers WHERE user_id = '@alice:test'")
    assert rows == []


EMAIL_BODY: dict[str, Any] = {**BODY, "kind": "email", "app_id": "m.email", "pushkey": ADDRESS, "data": {}}
SECRET = "0123456789abcdef0123456789abcdef"


def play_email(
    play: Play, scenario: Callable[[World, str], Awaitable[None]], outside: dict[str, Any] | None = None
) -> None:
    """With a mailer unless `outside` says otherwise; Alice is logged in."""

    async def logged_in(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        await world.db.execute("DELETE FROM user_threepids")
        await scenario(world, token)

    given = {"mailer": Postbox().mailer} if outside is None else outside
    play(logged_in, given, cluster={"secret": SECRET})


def test_mails_go_to_ones_own_confirmed_address_alone(play: Play) -> None:
    async def scenario(world: World, token: str) -> None:
        answer = await world.ask("POST", "/pushers/set", EMAIL_BODY, token)
        assert (answer.status, answer.errcode) == (400, "M_THREEPID_NOT_FOUND")
        await add_threepid(world.db, "@bob:example.org", Threepid("email", ADDRESS, 1, 1))
        answer = await world.ask("POST", "/pushers/set", EMAIL_BODY, token)
        assert (answer.status, answer.errcode) == (400, "M_THREEPID_NOT_FOUND")
        await world.db.execute("UPDATE user_threepids SET user_id = '@alice:example.org'")
        body = {**EMAIL_BODY, "pushkey": ADDRESS.title()}
        assert (await world.ask("POST", "/pushers/set", body, token)).json == {}
        [call] = world.master.of(SetPusher)
        assert (call.kind, call.pushkey, call.device_id) == ("email", ADDRESS.title(), None)

    play_email(play, scenario)


def test_without_mail_there_are_no_pushers_by_mail(play: Play) -> None:
    async def scenario(world: World, token: str) -> None:
        answer = await world.ask("POST", "/pushers/set", EMAIL_BODY, token)
        assert (answer.status, answer.errcode) == (400, "M_UNKNOWN")

    play_email(play, scenario, {})


def test_the_link_in_a_mail_ends_them_by_a_button_and_by_one_click(play: Play) -> None:
    async def scenario(world: World, token: str) -> None:
        link = Unsubscribing(SECRET, "https://matrix.example.org").link("@alice:example.org", ADDRESS)
        path = link.removeprefix("https://matrix.example.org")
        page = await world.raw("GET", path)
        assert page.status == 200
        assert isinstance(page.body, bytes)
        assert ADDRESS.encode() in page.body
        assert world.master.of(RemovePusher) == []
        page = await world.raw("POST", path, b"List-Unsubscribe=One-Click")
        assert page.status == 200
        key = RemovePusher(user_id="@alice:example.org", app_id="m.email", pushkey=ADDRESS)
        assert world.master.of(RemovePusher) == [key]
        for wrong in (path[:-1], path.replace("alice%40", "mallory%40"), path.partition("?")[0]):
            assert (await world.raw("GET", wrong)).status == 400
            assert (await world.raw("POST", wrong, b"")).status == 400
        assert world.master.of(RemovePusher) == [key]
        nobody = Unsubscribing("", "https://x")
        assert not nobody.is_ours("@a:b", "c", nobody.link("@a:b", "c").rpartition("=")[2])

    play_email(play, scenario)
