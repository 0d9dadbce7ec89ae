"""OpenID tokens: whom they name, and for how long."""

from hs_common.http.credentials import hash_token
from hs_common.storage.openid_tokens import openid_user
from tests.workers.client.conftest import Play
from tests.workers.client.world import World, below_user

ALICE = "@alice:example.org"
PATH = below_user(ALICE, "openid/request_token")


def test_a_token_names_its_user_for_an_hour(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        answer = (await world.ask("POST", PATH, {}, token)).json
        assert (answer["token_type"], answer["matrix_server_name"], answer["expires_in"]) == (
            "Bearer",
            "example.org",
            3600,
        )
        digest = hash_token(answer["access_token"])
        assert await openid_user(world.db, digest, world.now_ms + 3_599_999) == ALICE
        assert await openid_user(world.db, digest, world.now_ms + 3_600_000) is None
        assert await openid_user(world.db, hash_token("another"), world.now_ms) is None
        assert (await world.ask("GET", "/account/whoami", token=answer["access_token"])).errcode == "M_UNKNOWN_TOKEN"
        await world.db.execute("UPDATE users SET locked = true")
        assert await openid_user(world.db, digest, world.now_ms) is None

    play(scenario)


def test_only_for_oneself(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.login_ok()
        bob = (await world.login_ok("bob"))["access_token"]
        assert (await world.ask("POST", PATH, {}, bob)).errcode == "M_FORBIDDEN"

    play(scenario)


def test_old_tokens_are_swept(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        await world.ask("POST", PATH, {}, token)
        world.now_ms += 3_600_000
        await world.ask("POST", PATH, {}, token)
        assert await world.db.fetch("SELECT count(*) FROM openid_tokens") == [(1,)]

    play(scenario)
