"""Administrators who act as users, over the real master: what their tokens can, and when they end."""

from collections.abc import Awaitable, Callable

import pytest

from hs_common.replication.calls import DeactivateUser
from hs_master.decisions import login_as_user
from tests.master.harness import master
from tests.reactor import run
from tests.workers.client.test_admin import administrator
from tests.workers.client.test_with_the_master import NearLink
from tests.workers.client.world import Answer, World, config

ALICE, ROOT = "@alice:test", "@root:test"
LOGIN = "/_synapse/admin/v1/users/{}/login"


def play(database_url: str, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def life() -> None:
        async with master(database_url) as near:
            world = World(database_url, config(server={"name": "test"}), master=NearLink(near))
            try:
                await scenario(world)
            finally:
                await world.db.close()

    run(life(), timeout=60)


async def root_of(world: World, name: str = "root") -> str:
    token = await administrator(world, name)
    await world.db.execute("UPDATE users SET admin = true WHERE user_id = %s", (f"@{name}:test",))
    return token


async def acting(world: World, root: str, user_id: str = ALICE, **body: int) -> str:
    answer = await world.ask("POST", LOGIN.format(user_id), body, root)
    assert (answer.status, list(answer.json)) == (200, ["access_token"])
    return str(answer.json["access_token"])


async def who(world: World, token: str) -> Answer:
    return await world.ask("GET", "/account/whoami", token=token)


def test_the_token_is_of_no_device(database_url: str) -> None:
    async def scenario(world: World) -> None:
        root, alice = await root_of(world), (await world.login_ok(device_id="PHONE"))["access_token"]
        before = (await world.ask("GET", "/devices", token=alice)).json
        token = await acting(world, root)
        assert (await who(world, token)).json == {"user_id": ALICE, "is_guest": False}
        named = await world.ask("PUT", f"/profile/{ALICE}/displayname", {"displayname": "A"}, token)
        assert named.status == 200
        assert (await world.ask("GET", "/devices", token=alice)).json == before
        whois = await world.ask("GET", f"/admin/whois/{ALICE}", token=alice)
        assert "" not in whois.json["devices"]
        assert whois.json["devices"].keys() <= {"PHONE"}
        # The user's own logging out is none of its business, nor the other way round.
        assert (await world.ask("POST", "/logout/all", token=alice)).json == {}
        assert (await who(world, alice)).status == 401
        assert (await who(world, token)).status == 200
        again = (await world.login_ok())["access_token"]
        assert (await world.ask("POST", "/logout", token=token)).json == {}
        assert (await who(world, token)).errcode == "M_UNKNOWN_TOKEN"
        assert (await who(world, again)).status == 200

    play(database_url, scenario)


def test_the_token_ends_in_time_and_with_who_has_it(database_url: str) -> None:
    async def scenario(world: World) -> None:
        root, other = await root_of(world), await root_of(world, "other")
        await world.register("alice")
        brief, lasting = await acting(world, root, valid_until_ms=world.now_ms + 1000), await acting(world, root)
        others = await acting(world, other)
        world.now_ms += 1000
        assert (await who(world, brief)).errcode == "M_UNKNOWN_TOKEN"
        assert (await who(world, lasting)).status == 200
        await world.db.execute("UPDATE users SET admin = false WHERE user_id = %s", (ROOT,))
        assert (await who(world, lasting)).errcode == "M_UNKNOWN_TOKEN"
        await world.db.execute("UPDATE users SET admin = true, locked = true WHERE user_id = %s", (ROOT,))
        assert (await who(world, lasting)).errcode == "M_UNKNOWN_TOKEN"
        await world.db.execute("UPDATE users SET locked = false WHERE user_id = %s", (ROOT,))
        assert (await who(world, lasting)).status == 200
        assert (await world.ask("POST", "/logout/all", token=root)).json == {}
        assert (await who(world, lasting)).errcode == "M_UNKNOWN_TOKEN"
        assert (await who(world, others)).status == 200
        await world.outside.master.call(DeactivateUser(user_id="@other:test"))
        assert (
            await world.db.fetch("SELECT FROM access_tokens WHERE opened_by IS NOT NULL AND expires_at_ms IS NULL")
            == []
        )

    play(database_url, scenario)


def test_it_gives_no_power_over_others(database_url: str) -> None:
    async def scenario(world: World) -> None:
        root, _ = await root_of(world), await root_of(world, "other")
        token = await acting(world, root, "@other:test")
        refused = await world.ask("GET", "/_synapse/admin/v2/users", token=token)
        assert (refused.status, refused.errcode) == (403, "M_FORBIDDEN")
        assert (await world.ask("POST", LOGIN.format(ROOT), {}, token)).errcode == "M_FORBIDDEN"

    play(database_url, scenario)


def test_who_cannot_and_as_whom(database_url: str) -> None:
    async def scenario(world: World) -> None:
        root, alice = await root_of(world), (await world.login_ok())["access_token"]
        now_ms = world.now_ms
        for user_id, body, token, expected in (
            (ALICE, {}, alice, (403, "M_FORBIDDEN")),
            (ALICE, {}, None, (401, "M_MISSING_TOKEN")),
            (ROOT, {}, root, (400, "M_INVALID_PARAM")),
            ("@alice:elsewhere", {}, root, (400, "M_INVALID_PARAM")),
            ("@nobody:test", {}, root, (404, "M_NOT_FOUND")),
            (ALICE, {"valid_until_ms": now_ms}, root, (400, "M_INVALID_PARAM")),
            (ALICE, {"valid_until_ms": 1 << 60}, root, (400, "M_BAD_JSON")),
            (ALICE, {"valid_until_ms": "soon"}, root, (400, "M_BAD_JSON")),
            (ALICE, {"valid_until_ms": True}, root, (400, "M_BAD_JSON")),
        ):
            answer = await world.ask("POST", LOGIN.format(user_id), body, token)
            assert (answer.status, answer.errcode) == expected, (user_id, body)
        await world.outside.master.call(DeactivateUser(user_id=ALICE))
        assert (await world.ask("POST", LOGIN.format(ALICE), {}, root)).errcode == "M_USER_DEACTIVATED"

    play(database_url, scenario)


def test_tokens_of_one_user_are_bounded_and_those_that_are_over_go(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_as_user, "TOKENS_LIMIT", 2)

    async def scenario(world: World) -> None:
        root = await root_of(world)
        await world.register("alice")
        for _ in range(2):
            await acting(world, root, valid_until_ms=world.now_ms + 1000)
        full = await world.ask("POST", LOGIN.format(ALICE), {}, root)
        assert (full.status, full.errcode) == (403, "M_FORBIDDEN")
        await world.db.execute("UPDATE access_tokens SET expires_at_ms = 1 WHERE opened_by IS NOT NULL")
        await acting(world, root)
        assert len(await world.db.fetch("SELECT FROM access_tokens WHERE opened_by IS NOT NULL")) == 1

    play(database_url, scenario)
